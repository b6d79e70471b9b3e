"use strict";
const clips = [...document.querySelectorAll("video")];
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
