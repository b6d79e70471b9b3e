// How far the work is, what is being done, and how much longer it takes.

// Of the bar, about as long as each stage takes.
const SHARES = { fetch: 0.3, start: 0.1, look: 0.05, motion: 0.5, finish: 0.05, video: 1, wait: 0.01, read: 0.02, frames: 1 };
const FIRST = { video: "Drawing the loop", frames: "Rendering the loop" };

export class Progress {
  constructor({ section, bar, doing }) {
    Object.assign(this, { section, bar, doing });
  }

  // Begin with the stages that are still to come.
  begin(stages) {
    this.stages = stages;
    this.whole = stages.reduce((sum, stage) => sum + SHARES[stage], 0);
    this.stage = null;
    this.section.hidden = false;
    this.bar.removeAttribute("value");
    this.say(FIRST[stages.at(-1)] ?? "Reading the photo");
  }

  end() {
    this.section.hidden = true;
  }

  tell({ stage, done, total }) {
    if (this.stage !== stage) [this.stage, this.since, this.from] = [stage, performance.now(), done];
    const before = this.stages.slice(0, Math.max(0, this.stages.indexOf(stage))).reduce((sum, name) => sum + SHARES[name], 0);
    this.bar.value = Math.min(1, (before + SHARES[stage] * (total ? done / total : 0)) / this.whole);
    this.say(this.words(stage, done, total) + this.left(done, total));
  }

  say(text) {
    this.doing.textContent = text;
    this.bar.setAttribute("aria-label", text);
  }

  words(stage, done, total) {
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    return {
      fetch: `Fetching the model, once: ${megabytes(done)} of ${megabytes(total)} MB`,
      start: `Starting the model: ${done} of ${total} parts`,
      look: "Looking at the photo",
      motion: `Finding out how it could move: step ${done} of ${total}`,
      finish: "Making a loop of it",
      wait: `Waiting for ${total} before it`,
      read: "Reading the photo",
      frames: `Rendering the loop: frame ${done} of ${total}`,
      video: `Drawing the loop: frame ${done} of ${total}`,
    }[stage];
  }

  // By the pace of this stage so far.
  left(done, total) {
    const seconds = ((performance.now() - this.since) / 1000) * ((total - done) / (done - this.from));
    if (!Number.isFinite(seconds) || done <= this.from) return "";
    return `, about ${seconds < 1.5 ? "1 second" : `${Math.round(seconds)} seconds`} left`;
  }
}
