// The browser itself as the engine, of which engine/python.js says what it offers: a worker beside the page, which is asked
// for work, tells of its progress, and can be cancelled.

import { readPhoto } from "../intake.js";

export class BrowserEngine {
  constructor(manifest, { base, webgpu }) {
    Object.assign(this, { manifest, base, webgpu });
    this.words = "All of it is worked out in this browser: the photo goes nowhere.";
    this.render = null; // the page draws the loop
    this.waiting = new Map(); // id -> {resolve, reject, told}
    this.next = 0;
    this.loaded = null; // a promise
    this.ready = false;
  }

  stages() {
    return [...(this.ready ? [] : ["fetch", "start"]), "look", "motion", "finish"];
  }

  // Begin to load the networks before the photo is there.
  warm() {
    this.load().catch(() => {}); // is told when a photo comes and it fails again
  }

  read(file) {
    return readPhoto(file);
  }

  async open({ rgba, rgbaSize }, { told, signal }) {
    signal.addEventListener("abort", () => this.stopLoading());
    const { backend, threads } = await this.load(told);
    await this.ask("look", { rgba, size: rgbaSize }, { told, signal, transfer: [rgba.buffer] });
    return `Computed by ${backend === "webgpu" ? "WebGPU" : `WebAssembly on ${threads} thread${threads > 1 ? "s" : ""}`}.`;
  }

  async sample({ seed, wind }, how) {
    return { ...(await this.ask("sample", { seed, wind }, how)), seed };
  }

  start() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.hear(data));
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.fail(new Error(`the computing has stopped (${event.message || "out of memory?"}); try again, or reload the page`));
    });
  }

  hear({ id, progress, result, error, cancelled }) {
    const asked = this.waiting.get(id);
    if (!asked) return;
    if (progress) return asked.told(progress);
    this.waiting.delete(id);
    if (error === undefined) asked.resolve(result);
    else asked.reject(Object.assign(new Error(error), { cancelled }));
  }

  // A worker that has failed answers nothing any more: the next who asks gets a new one.
  fail(error) {
    this.worker.terminate();
    [this.worker, this.loaded, this.ready] = [null, null, false];
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  async ask(kind, given, { told, signal, transfer = [] }) {
    if (signal.aborted) throw Object.assign(new Error("cancelled"), { cancelled: true });
    const id = this.next++;
    if (!this.worker) this.start();
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, told });
      signal.addEventListener("abort", () => this.worker?.postMessage({ kind: "cancel", id }), { once: true });
      this.worker.postMessage({ id, kind, ...given }, transfer);
    });
  }

  // Fetched and started once, however often it is asked for; the last who asks is told of the progress. After a failure,
  // or after it was stopped, it is tried again.
  load(told = () => {}) {
    this.toldOfLoading = told;
    if (!this.loaded) {
      this.loading = new AbortController();
      const given = { base: this.base, manifest: this.manifest, webgpu: this.webgpu };
      const how = { told: (progress) => this.toldOfLoading(progress), signal: this.loading.signal };
      this.loaded = this.ask("load", given, how).then((facts) => {
        this.ready = true;
        return facts;
      });
      this.loaded.catch(() => (this.loaded = null));
    }
    return this.loaded;
  }

  stopLoading() {
    if (!this.ready) this.loading?.abort();
  }
}
