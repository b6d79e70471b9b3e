// Photos come in: dropped, pasted, chosen or taken. What a file is, and how many pixels it has, is read from its first
// bytes before the browser decodes anything.

export const MOST_BYTES = 50_000_000;
const MOST_PIXELS = 64_000_000; // of a photo
const WORKED_WITH = 16_000_000; // pixels that its motion is read from; larger photos are shrunk by the browser first
const SHOWN_SIDE = 2048; // pixels of the longer side as it is drawn
const LEAST_SIDE = 16; // common.option_types.MIN_SIDE

// Call take(file) for every photo that comes; refuse(message) for what is no file.
export function listen({ drop, camera, file, shot }, take, refuse) {
  drop.addEventListener("click", () => file.click());
  camera.addEventListener("click", () => shot.click());
  for (const input of [file, shot]) {
    input.addEventListener("change", () => {
      const [chosen] = input.files;
      input.value = ""; // so that the same photo can be chosen again
      if (chosen) take(chosen);
    });
  }
  let depth = 0; // dragenter and dragleave come for every element on the way
  const over = (change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    document.body.classList.toggle("over", depth > 0);
  };
  const handed = (data) => {
    const [photo] = data?.files ?? [];
    if (photo) take(photo);
    return Boolean(photo);
  };
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    over(1);
  });
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(0);
    if (!handed(event.dataTransfer)) refuse("That was no file. Save the photo first, then drop the file here.");
  });
  addEventListener("paste", (event) => handed(event.clipboardData));
}

// A photo as the studio works with it: upright, in sRGB, transparency over white.
//   bitmap: to be drawn; rgba, rgbaSize: what the motion is read from; size: [width, height] of the photo itself.
// Where the browser can't read it, convert() -> {picture, size} may: a picture that it can, and the photo's own size.
export async function readPhoto(file, convert = null) {
  if (file.size > MOST_BYTES) throw new Error(`too large: ${Math.round(file.size / 1e6)} MB, at most 50 MB are taken`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const facts = { file, name: file.name || "photo", sha256: await sha256(bytes) };
  try {
    return { ...facts, ...(await decoded(bytes, file.type)) };
  } catch (error) {
    if (!convert) throw error;
    const { picture, size } = await convert();
    return { ...facts, ...(await decoded(new Uint8Array(await picture.arrayBuffer()), picture.type)), size };
  }
}

async function decoded(bytes, type) {
  checkSize(pictureSize(bytes));
  let whole;
  try {
    whole = await createImageBitmap(new Blob([bytes], { type }));
  } catch {
    throw new Error("this browser can't decode it; it may be damaged, or save it as JPEG or PNG");
  }
  try {
    const size = [whole.width, whole.height];
    checkSize(size); // as it was decoded: what the header said may be wrong
    const rgbaSize = within(size, Math.sqrt(WORKED_WITH / (size[0] * size[1])));
    const { data } = drawn(whole, rgbaSize).getImageData(0, 0, ...rgbaSize);
    const shown = drawn(whole, within(size, SHOWN_SIDE / Math.max(...size))).canvas;
    return { bitmap: await createImageBitmap(shown), rgba: data, rgbaSize, size };
  } finally {
    whole.close();
  }
}

const within = (size, scale) => size.map((side) => Math.max(1, Math.round(side * Math.min(1, scale))));

function drawn(bitmap, [width, height]) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context;
}

function checkSize([width, height]) {
  if (width * height > MOST_PIXELS) {
    throw new Error(`${width} × ${height} pixels, at most ${MOST_PIXELS / 1e6} megapixels are taken; shrink the photo first`);
  }
  if (Math.min(width, height) < LEAST_SIDE) {
    throw new Error(`${width} × ${height} pixels are too few, ${LEAST_SIDE} a side are needed`);
  }
}

async function sha256(bytes) {
  if (!crypto.subtle) return ""; // on a page that came by plain HTTP
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// What a file's header says --------------------------------------------------------------------------------------------

const text = (bytes, start, length) => String.fromCharCode(...bytes.subarray(start, start + length));

// [width, height], not yet turned upright.
export function pictureSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (text(bytes, 1, 3) === "PNG") return [view.getUint32(16), view.getUint32(20)];
    if (view.getUint16(0) === 0xffd8) return jpegSize(view);
    if (text(bytes, 0, 4) === "GIF8") return [view.getUint16(6, true), view.getUint16(8, true)];
    if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return webpSize(bytes, view);
    if (text(bytes, 0, 2) === "BM") return [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
    if (text(bytes, 4, 4) === "ftyp" && /avi[fs]|hei[cxms]|hev[cx]|mif1|msf1/.test(text(bytes, 8, 24))) return heifSize(bytes, view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // beyond the end of the file
    throw new Error("damaged image, save it again");
  }
  throw new Error("not a photo that a browser knows; save it as JPEG or PNG");
}

function jpegSize(view) {
  for (let at = 2; ; ) {
    if (view.getUint8(at) !== 0xff) throw new RangeError("no marker");
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += 2 + view.getUint16(at + 2);
  }
}

function webpSize(bytes, view) {
  const kind = text(bytes, 12, 4);
  if (kind === "VP8X") return [24, 27].map((at) => 1 + (view.getUint32(at, true) & 0xffffff));
  if (kind === "VP8 ") return [26, 28].map((at) => view.getUint16(at, true) & 0x3fff);
  const packed = view.getUint32(21, true);
  return [1 + (packed & 0x3fff), 1 + ((packed >>> 14) & 0x3fff)];
}

// The largest of the pictures in it, which may be tiles of one.
function heifSize(bytes, view) {
  let largest = null;
  const end = Math.min(bytes.length - 16, 1 << 20);
  for (let at = 4; at < end; at++) {
    if (bytes[at] !== 0x69 || text(bytes, at, 4) !== "ispe") continue;
    const size = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (!largest || size[0] * size[1] > largest[0] * largest[1]) largest = size;
  }
  if (!largest) throw new RangeError("no size");
  return largest;
}
