// The page begins: what it holds is read and shown, and what goes wrong is said.

let viewer = null;

async function start() {
  showBare();
  const header = readHeader();
  const photo = document.getElementById("photo");
  document.getElementById("stage").style.setProperty("--ratio", header.photo.width / header.photo.height);
  try {
    await photo.decode();
    viewer = new Viewer(header, await readModes(header.modes), document.getElementById("canvas"), photo);
    connectControls(viewer);
    watchSize(viewer);
    document.documentElement.dataset.state = "ready";
    connectHost(viewer);
  } catch (error) {
    fallBack(header, error);
  }
}

// Without WebGL2: the rendered loop if the page has it, else the photo.
function fallBack(header, error) {
  const loop = document.getElementById("loop");
  document.documentElement.dataset.state = "fallback";
  const reason = error.message === "no WebGL2" ? "This browser offers no WebGL2, which poking needs." : `Poking failed: ${error.message}.`;
  const instead = loop ? "Here is the rendered loop instead." : `Here is the photo instead, unmoved. ${header.loop.note}`;
  document.getElementById("status").textContent = `${reason} ${instead}`;
  if (loop) showLoop(loop, true);
}

function showLoop(loop, shown) {
  loop.hidden = !shown;
  if (!loop.play) return;
  loop.controls = shown && matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (shown && !loop.controls) loop.play().catch(() => (loop.controls = true));
  if (!shown) loop.pause();
}

start();
