"use strict";
const clips = [...document.querySelectorAll("video")];
for (const clip of clips) {
  const widen = () => clip.closest("figure").classList.toggle("wide", clip.videoWidth > 2.2 * clip.videoHeight);
  if (clip.readyState > 0) widen();
  else clip.addEventListener("loadedmetadata", widen);
}
for (const button of document.querySelectorAll("button[data-clips]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    for (const clip of clips) {
      if (button.dataset.clips === "pause") {
        clip.pause();
      } else {
        clip.currentTime = 0;
        clip.play().catch(() => {});
      }
    }
  });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
