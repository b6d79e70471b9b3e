// Keeps the page for visits without a network, and adds the headers that let WebAssembly use several threads on hosts
// that send none. The build puts BUILD in front of this: the name of its cache and the small files of the page; networks
// and runtimes are kept when they are first fetched.

const CACHE = `studio-${BUILD.build}`;
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

addEventListener("install", (event) => {
  skipWaiting();
  const fresh = BUILD.files.map((name) => new Request(name, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
});

addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith("studio-") && name !== CACHE) await caches.delete(name);
  }
  await clients.claim();
}

addEventListener("fetch", (event) => {
  const { request } = event;
  const here = new URL(request.url).origin === location.origin && request.url.startsWith(registration.scope);
  if (request.method === "GET" && here) event.respondWith(answer(event));
});

async function answer({ request }) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const response = await fetch(request);
  const large = /\/(runtime|models)\//.test(request.url);
  if (response.ok && response.status === 200 && large) cache.put(request, response.clone()).catch(() => {});
  return isolated(response);
}

function isolated(response) {
  if (response.status === 0 || response.type === "opaqueredirect") return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
