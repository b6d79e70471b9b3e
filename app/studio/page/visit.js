// A service worker keeps the page for later, and gives it the headers that threads need where the host does not: then the
// page is loaded once more, before anything has been fetched or done.
export async function settle() {
  if (!navigator.serviceWorker) return;
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    if (globalThis.crossOriginIsolated || sessionStorage.getItem("reloaded")) return;
    if (!(await takesOver(registration))) return;
    sessionStorage.setItem("reloaded", "yes");
    location.reload();
    await new Promise(() => {});
  } catch {
    // Without it the page works on one thread, and needs the network next time.
  }
}

// One that can't keep the page's files, for want of room say, is given up and never ready.
function takesOver({ installing, waiting, active }) {
  const worker = installing ?? waiting ?? active;
  return new Promise((resolve) => {
    const look = () => ["activated", "redundant"].includes(worker.state) && resolve(worker.state === "activated");
    worker.addEventListener("statechange", look);
    look();
  });
}
