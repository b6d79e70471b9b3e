// The studio's buttons and sliders.

import { listen } from "./intake.js";

const FORMATS = { mp4: "MP4", webm: "WebM", webp: "animated WebP", recording: "a recording" };
const byId = (id) => document.getElementById(id);

export function connect(studio) {
  listen(
    { drop: byId("drop"), camera: byId("camera"), file: byId("file"), shot: byId("shot") },
    (file) => studio.take(file),
    (message) => studio.trouble(message),
  );
  const press = (id, action) => byId(id).addEventListener("click", action);
  for (const id of ["drop", "camera"]) press(id, () => studio.engine.warm());
  addEventListener("dragenter", () => studio.engine.warm(), { once: true });
  press("cancel", () => {
    studio.work?.abort();
    if (!studio.shown) studio.another();
  });
  press("more", () => studio.more());
  press("again", () => studio.again());
  press("other", () => studio.another());
  press("loop", () => studio.stage.playLoop());
  press("pause", () => studio.stage.setPaused(!studio.stage.viewer.paused));
  press("render", () => studio.render());
  press("all-stays", () => studio.stage.viewer.freeAll(0));
  press("all-moves", () => studio.stage.viewer.freeAll(1));
  for (const kind of ["video", "page", "motion"]) press(`save-${kind}`, () => studio.save(kind));
  for (const name of ["amplitude", "speed", "wind"]) connectSlider(studio, name);
  byId("wind-label").hidden = studio.manifest.model.wind === null;
  byId("render").hidden = studio.engine.render === null;
  byId("size").append(...studio.sizes.map(([value, words]) => new Option(words, value)));
  byId("size").value = studio.start.size;
  byId("format").append(...studio.formats.map((name) => new Option(FORMATS[name], name)));
  byId("brush").addEventListener("input", () => studio.stage.setBrush(Number(byId("brush").value)));
  for (const input of document.querySelectorAll("input[name=tool]")) {
    input.addEventListener("change", () => {
      studio.stage.setTool(input.value);
      byId("brushes").hidden = input.value === "pull";
      const said = { pull: "", moves: "Paint what may move; the rest stays.", stays: "Paint what shall stay where it is." };
      studio.say(said[input.value]);
    });
  }
}

// A slider begins where the page is told to, beyond its usual ends and between its steps if need be.
function connectSlider(studio, name) {
  const slider = byId(name);
  const first = studio.start[name];
  slider.min = Math.min(slider.min, first);
  slider.max = Math.max(slider.max, first);
  slider.value = first;
  const changed = (value) => {
    byId(`${name}-value`).textContent = `${value.toFixed(2).replace(/0$/, "")}×`;
    if (name !== "wind") return studio.stage.set(name, value);
    studio.wind = value;
    studio.arrange();
  };
  slider.addEventListener("input", () => changed(Number(slider.value)));
  changed(first);
}
