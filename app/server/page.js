"use strict";
// Sends photos, asks how far they are, and shows what comes back. What a server or a file says is text, never markup.

const POLL = 500; // milliseconds between questions while something is being made
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const token = document.querySelector("meta[name=token]").content;
const [drop, file, magnify, wind, size, seed, list, trouble, announced] = ["drop", "file", "magnify", "wind", "size",
  "seed", "jobs", "trouble", "status"].map((id) => document.getElementById(id));
const limit = Number(file.dataset.limit);
const cards = new Map(); // id -> card
let timer = 0;

// The server ---------------------------------------------------------------------------------------------------------

async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, {...options, headers: {"X-Token": token}});
  } catch {
    throw new Error("The server does not answer. Is python generate.py --serve still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error || `The server answers ${response.status}.`);
}

async function send(photo, name, options) {
  const query = new URLSearchParams({name, ...options});
  if (photo.size > limit) throw new Error(`too large: ${megabytes(photo.size)}, at most ${megabytes(limit)}`);
  return (await ask(`jobs?${query}`, {method: "POST", body: photo})).json();
}

async function refresh() {
  clearTimeout(timer);
  try {
    const {jobs} = await (await ask("jobs")).json();
    const known = new Set(jobs.map((job) => job.id));
    for (const [id, card] of cards) if (!known.has(id)) expire(id, card);
    for (const job of jobs) show(job);
    tell("");
    if (jobs.some(active)) timer = setTimeout(refresh, POLL);
  } catch (error) {
    tell(error.message);
    if ([...cards.values()].some((card) => active(card.job))) timer = setTimeout(refresh, 4 * POLL);
  }
}

// Cards --------------------------------------------------------------------------------------------------------------

function newCard(job, photo) {
  const element = document.getElementById("card").content.cloneNode(true).querySelector("li");
  const card = {element, job, photo, find: (selector) => element.querySelector(selector)};
  card.find("h2").textContent = job.name;
  if (photo) {
    const picture = card.find("img");
    picture.addEventListener("load", () => { picture.hidden = card.job.state === "done"; });
    picture.src = URL.createObjectURL(photo);
    card.find(".again").addEventListener("click", () => another(card));
  }
  card.find(".remove").addEventListener("click", () => remove(card));
  list.prepend(element);
  return card;
}

function show(job, photo) {
  if (!cards.has(job.id)) cards.set(job.id, newCard(job, photo));
  const card = cards.get(job.id);
  const before = card.shown;
  card.job = job;
  card.shown = job.state;
  if (active(job)) {
    const bar = card.find("progress");
    const part = fraction(job);
    if (part === null) bar.removeAttribute("value");
    else bar.value = part;
    bar.setAttribute("aria-label", `Progress of ${job.name}`);
    card.find(".what").textContent = doing(job);
  } else if (before !== job.state) {
    card.find(".working").hidden = true;
    card.find(".remove").textContent = "Remove";
    card.find(".again").hidden = !card.photo || job.state !== "done";
    if (job.state === "done") showResult(card);
    else fail(card, job.error);
    announced.textContent = `${job.name}: ${job.state === "done" ? "the loop is ready" : job.error}`;
  }
}

async function showResult(card) {
  const {job} = card;
  const stem = job.name.replace(/\.[^.]*$/, "") || "photo";
  const base = `jobs/${encodeURIComponent(job.id)}/`;
  const facts = [`${job.size.join(" × ")} pixels`, `${Number(job.duration.toPrecision(3))} seconds`,
    `amplitude ${job.magnify}`, ...(job.wind ? [`wind ${job.wind}`] : []), `motion number ${job.seed}`];
  card.find(".facts").textContent = facts.join(", ") + (job.no_viewer ? `. No page to poke it: ${job.no_viewer}` : "")
    + (job.warning ? `. ${job.warning}` : "");
  card.find(".facts").hidden = false;
  if (job.results.includes("viewer.html")) {
    link(card.find(".poke"), `${base}viewer.html`);
    link(card.find(".keep"), `${base}viewer.html`, `${stem}.html`);
  }
  try {
    card.loop = URL.createObjectURL(await (await ask(`${base}loop.mp4`)).blob());
  } catch (error) {
    fail(card, error.message);
    return;
  }
  const video = card.find("video");
  video.setAttribute("aria-label", `Loop of ${job.name}`);
  video.addEventListener("loadeddata", () => {
    card.find("img").hidden = true;
    video.hidden = false;
    if (!STILL.matches) video.play().catch(() => {});
  }, {once: true});
  video.src = card.loop;
  link(card.find(".save"), card.loop, `${stem}.mp4`);
}

function link(element, address, name) {
  element.href = address;
  if (name) element.download = name;
  element.hidden = false;
}

function fail(card, message) {
  card.find(".error").textContent = message;
  card.find(".error").hidden = false;
}

function expire(id, card) {
  // The loop is still in this page, the rest was dropped by the server.
  cards.delete(id);
  if (card.job.state === "done" && card.loop && !card.removed) {
    for (const gone of [".poke", ".keep"]) card.find(gone).hidden = true;
    card.find(".facts").textContent += ". The server has dropped it to make room: save the loop now.";
  } else drain(card);
}

async function remove(card) {
  const {job} = card;
  card.removed = true;
  drain(card);
  if (cards.delete(job.id)) await ask(`jobs/${encodeURIComponent(job.id)}`, {method: "DELETE"}).catch(() => {});
  announced.textContent = `${job.name}: removed`;
  drop.focus();
}

function drain(card) {
  if (card.loop) URL.revokeObjectURL(card.loop);
  URL.revokeObjectURL(card.find("img").src);
  card.element.remove();
}

async function another(card) {
  const {job} = card;
  const next = Math.max(job.seed, card.next || 0) + 1;
  card.next = next;
  await submit(card.photo, job.name, {...card.options, seed: next});
}

function active(job) {
  return job.state === "waiting" || job.state === "running";
}

function fraction(job) {
  // Sampling and rendering take most of the time, about half of it each.
  const start = {motion: 0.02, frames: 0.4, viewer: 0.97}[job.stage];
  if (job.state === "waiting" || start === undefined) return null;
  return start + (job.total ? (job.done / job.total) * (job.stage === "motion" ? 0.38 : 0.57) : 0);
}

function doing(job) {
  if (job.state === "waiting") return job.place ? `Waiting for ${job.place} before it` : "Starting";
  const steps = `${job.done} of ${job.total}`;
  return {motion: `Finding out how it could move: step ${steps}`, frames: `Drawing frame ${steps}`,
    viewer: "Making the page to poke it"}[job.stage] || "Reading the photo";
}

// What the user does -------------------------------------------------------------------------------------------------

async function submit(photo, name, options) {
  try {
    const job = await send(photo, name, options);
    show(job, photo);
    cards.get(job.id).options = options;
    tell("");
    announced.textContent = `${job.name}: sent`;
    refresh();
    return true;
  } catch (error) {
    tell(`${name}: ${error.message}`);
    return false;
  }
}

async function take(photos) {
  if (!seed.reportValidity()) return;
  const options = {magnify: magnify.value, size: size.value, seed: seed.value};
  if (!wind.parentElement.hidden) options.wind = wind.value;
  const failed = [];
  for (const photo of photos) {
    if (!await submit(photo, photo.name || "pasted photo", options)) failed.push(trouble.textContent);
  }
  if (failed.length) tell(failed.join("\n"));
}

function tell(message) {
  trouble.textContent = message;
  trouble.hidden = !message;
  if (message) trouble.scrollIntoView({block: "nearest"});
}

function megabytes(bytes) {
  return `${Math.round(bytes / 1e6)} MB`;
}

drop.addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  const photos = [...file.files];
  file.value = ""; // so that the same photo can be chosen again
  take(photos);
});
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
for (const slider of [magnify, wind]) {
  const showValue = () => {
    document.getElementById(`${slider.id}-value`).textContent = `× ${Number(slider.value).toFixed(2)}`;
  };
  slider.addEventListener("input", showValue);
  showValue();
}

let depth = 0; // dragenter and dragleave come for every element on the way
const over = (change) => {
  depth = change ? depth + change : 0;
  document.body.classList.toggle("over", depth > 0);
};
addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
addEventListener("dragleave", () => over(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  over(0);
  const photos = [...event.dataTransfer.files];
  if (photos.length) take(photos);
  else tell("That was no file. Save the photo first, then drop the file here.");
});
addEventListener("paste", (event) => {
  const photos = [...event.clipboardData.files];
  if (photos.length) take(photos);
});
addEventListener("focus", refresh); // results may have expired, or other windows have sent photos
refresh();
