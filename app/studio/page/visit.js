// A service worker keeps the page for later, and gives it the headers that threads need where the host does not: then the
// page is loaded once more, before anything has been fetched or done.
export async function settle() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    if (globalThis.crossOriginIsolated || sessionStorage.getItem("reloaded")) return;
    await navigator.serviceWorker.ready;
    sessionStorage.setItem("reloaded", "yes");
    location.reload();
    await new Promise(() => {});
  } catch {
    // Without it the page works on one thread, and needs the network next time.
  }
}
