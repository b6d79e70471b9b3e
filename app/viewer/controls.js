// What is beside the photo: sliders, tools, modes, the loop, recording.

const FIRST_WIND = 0.6;
const LONGEST_RECORDING = 60; // seconds
const RECORDING_TYPES = ["video/mp4;codecs=avc1.42E01E", "video/webm;codecs=vp9", "video/webm"];

const BRUSHES = {
  stays: "Paint over what shall stay where it is.",
  moves: "Paint over what may move. All stays keeps everything else still.",
};

const byId = (id) => document.getElementById(id);

function connectControls(viewer) {
  viewer.tell = (text) => {
    if (byId("status").textContent !== text) byId("status").textContent = text;
  };
  byId("controls").hidden = false;
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  byId("wind").value = reduced.matches ? 0 : FIRST_WIND;
  if (reduced.matches) viewer.tell("No wind, because this system asks for less motion. Pull, or turn the wind up.");
  connectSliders(viewer);
  connectTools(viewer);
  connectModes(viewer);
  connectLoop(viewer);
  connectRecording(viewer);
  byId("pause").addEventListener("click", () => setPaused(viewer, !viewer.paused));
  byId("rest").addEventListener("click", () => {
    setSlider("wind", 0);
    viewer.toRest();
  });
}

function setPaused(viewer, paused) {
  viewer.paused = paused;
  byId("pause").textContent = paused ? "Go on" : "Pause";
  viewer.wake();
}

function connectSliders(viewer) {
  for (const name of ["amplitude", "speed", "damping", "wind"]) {
    byId(name).addEventListener("input", () => {
      byId(`${name}-value`).textContent = `${Number(byId(name).value).toFixed(2).replace(/0$/, "")}×`;
      viewer.set(name, Number(byId(name).value));
    });
    setSlider(name, byId(name).value);
  }
}

function setSlider(name, value) {
  byId(name).value = value;
  byId(name).dispatchEvent(new Event("input"));
}

function connectTools(viewer) {
  const { pointers } = viewer;
  for (const input of document.querySelectorAll("input[name=tool]")) {
    input.addEventListener("change", () => {
      pointers.releaseAll();
      pointers.tool = input.value;
      viewer.stillShown = input.value !== "pull";
      byId("brushes").hidden = !viewer.stillShown;
      viewer.canvas.dataset.tool = input.value;
      viewer.tell(BRUSHES[input.value] ?? "");
      viewer.wake();
    });
  }
  byId("brush").addEventListener("input", () => (pointers.brush = Number(byId("brush").value)));
  byId("all-stays").addEventListener("click", () => viewer.freeAll(0));
  byId("all-moves").addEventListener("click", () => viewer.freeAll(1));
  byId("save-mask").addEventListener("click", () => saveMask(viewer));
}

function connectModes(viewer) {
  const { basis } = viewer;
  basis.omega.forEach((omega, j) => {
    const option = new Option(`${j + 1}: ${(omega / (2 * Math.PI)).toFixed(2)} Hz`, String(j));
    byId("mode").append(option);
  });
  byId("mode").addEventListener("change", () => {
    const mode = byId("mode").value === "all" ? null : Number(byId("mode").value);
    viewer.showMode(mode);
    const still = viewer.settings.wind === 0 ? " Turn the wind up or pull to see it." : "";
    viewer.tell(mode === null ? "" : `This mode alone, the wind's part of it ${enlarged(viewer.enlargement())}.${still}`);
  });
}

const enlarged = (factor) => (factor < 1 ? `made ${(1 / factor).toPrecision(2)} times smaller` : `enlarged ${factor.toPrecision(2)} times`);

function connectLoop(viewer) {
  const loop = byId("loop");
  byId("play").addEventListener("click", () => {
    const playing = byId("play").getAttribute("aria-pressed") !== "true";
    byId("play").setAttribute("aria-pressed", playing);
    byId("play").textContent = playing ? "Back to poking" : "Play the loop";
    byId("record").disabled = playing && loop !== null;
    viewer.pointers.releaseAll();
    viewer.covered = playing && loop !== null;
    if (loop) showLoop(loop, playing);
    else viewer.loopTime = playing ? 0 : null;
    viewer.tell(playing ? loopNote(viewer, loop) : "");
    viewer.wake();
  });
}

function loopNote(viewer, loop) {
  const { note } = viewer.header.loop;
  return loop ? note : `${note} This is the same motion, drawn by this page.`;
}

function connectRecording(viewer) {
  const type = globalThis.MediaRecorder && RECORDING_TYPES.find((name) => MediaRecorder.isTypeSupported(name));
  byId("record").disabled = !type || !viewer.canvas.captureStream;
  if (byId("record").disabled) byId("record").title = "This browser records no video";
  let recorder = null;
  byId("record").addEventListener("click", () => {
    if (recorder) return recorder.stop();
    recorder = record(viewer, type, () => {
      recorder = null;
      byId("record").textContent = "Record";
      byId("play").disabled = false;
    });
    byId("record").textContent = "Stop and save";
    byId("play").disabled = byId("loop") !== null;
    viewer.tell(`Recording, ${LONGEST_RECORDING} seconds at most.`);
  });
}

// Record the canvas until stop() is called; then the file is saved.
function record(viewer, type, whenDone) {
  const parts = [];
  const recorder = new MediaRecorder(viewer.canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 12e6 });
  const limit = setTimeout(() => recorder.stop(), LONGEST_RECORDING * 1000);
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  recorder.addEventListener("stop", () => {
    clearTimeout(limit);
    recorder.stream.getTracks().forEach((track) => track.stop());
    const name = save(viewer.header.title, new Blob(parts, { type: type.split(";")[0] }));
    viewer.tell(`Saved as ${name}.`);
    whenDone();
  });
  recorder.start(1000);
  viewer.wake();
  return recorder;
}

// What is painted as generate.py --mask reads it: white moves, black stays; at the photo's size.
function saveMask(viewer) {
  const { basis, header } = viewer;
  const cells = new OffscreenCanvas(basis.width, basis.height);
  const pixels = Uint8ClampedArray.from({ length: 4 * basis.cells }, (_, i) => (i % 4 === 3 ? 255 : 255 * basis.free[i >> 2]));
  cells.getContext("2d").putImageData(new ImageData(pixels, basis.width), 0, 0);
  const mask = Object.assign(document.createElement("canvas"), { width: header.photo.width, height: header.photo.height });
  mask.getContext("2d").drawImage(cells, 0, 0, mask.width, mask.height);
  mask.toBlob((blob) => viewer.tell(`Saved as ${save(`${header.title}_mask`, blob)}.`));
}

function save(title, blob) {
  const link = document.createElement("a");
  const stem = title.replace(/[^\p{L}\p{N}_-]+/gu, "_").slice(0, 60) || "photo";
  link.download = `${stem}.${blob.type.split("/")[1]}`;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}
