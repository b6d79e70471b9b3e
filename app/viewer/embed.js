// The page within another one: without its controls, and told what to do by messages of the page around it.

const HOST = "host"; // among the pointers
const HOLD = 300; // milliseconds that a poke holds its point before it lets go

// With "#bare" behind its address, the page is the photo alone.
function showBare() {
  document.documentElement.toggleAttribute("data-bare", location.hash === "#bare");
}

// Only the page around this one is listened to.
function connectHost(viewer) {
  if (parent === window) return;
  addEventListener("message", ({ source, data }) => {
    const order = source === parent && Object.hasOwn(ORDERS, data?.imageDynamics) && ORDERS[data.imageDynamics];
    if (order) order(viewer, data);
  });
  parent.postMessage({ imageDynamics: "ready" }, "*");
}

const ORDERS = {
  start: (viewer, { wind }) => {
    setSlider("wind", Number.isFinite(wind) ? wind : FIRST_WIND);
    setPaused(viewer, false);
  },
  stop: (viewer) => setPaused(viewer, true),
  amplitude: (_, { value }) => Number.isFinite(value) && setSlider("amplitude", value),
  poke: (viewer, { x, y, dx, dy }) => [x, y, dx, dy].every(Number.isFinite) && poke(viewer, [x, y], [dx, dy]),
};

// Take hold of a point, pull it, let it go; all in shares of the photo's width and height.
function poke(viewer, [x, y], [dx, dy]) {
  const { pointers, basis } = viewer;
  pointers.release(HOST, Infinity);
  const at = [x * basis.width - 0.5, y * basis.height - 0.5];
  if (!pointers.take(HOST, at, SNAP.touch, performance.now())) return;
  pointers.pull(HOST, [at[0] + dx * basis.width, at[1] + dy * basis.height], performance.now());
  setTimeout(() => pointers.release(HOST, Infinity), HOLD);
}
