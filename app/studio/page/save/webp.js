// A loop as an animated WebP: pictures that the browser has encoded one by one, in the container that plays them for ever
// (RFC 9649).

const text = (bytes, start) => String.fromCharCode(...bytes.subarray(start, start + 4));

// The chunks of a WebP file that are its picture: VP8 or VP8L, and before it the alpha channel where there is one.
export function imageOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (text(bytes, 0) !== "RIFF" || text(bytes, 8) !== "WEBP") throw new Error("this browser makes no WebP");
  const found = [];
  for (let at = 12; at + 8 <= bytes.length; ) {
    const end = at + 8 + view.getUint32(at + 4, true);
    const padded = end + (end % 2);
    if (["ALPH", "VP8 ", "VP8L"].includes(text(bytes, at))) found.push(bytes.subarray(at, padded));
    at = padded;
  }
  return found;
}

// images: of imageOf, in order. -> parts of a Blob.
export function webp(images, { width, height, fps }) {
  const size = [...number(width - 1, 3), ...number(height - 1, 3)];
  const alpha = images.some((chunks) => text(chunks[0], 0) !== "VP8 ") ? 0x10 : 0;
  const frames = images.map((chunks, index) => {
    const [start, end] = [index, index + 1].map((place) => Math.round((1000 * place) / fps)); // milliseconds
    // At the corner, without blending: each picture is whole.
    return chunk("ANMF", [Uint8Array.of(0, 0, 0, 0, 0, 0, ...size, ...number(end - start, 3), 2), ...chunks]);
  });
  const parts = [
    ...chunk("VP8X", [Uint8Array.of(2 | alpha, 0, 0, 0, ...size)]),
    ...chunk("ANIM", [Uint8Array.of(255, 255, 255, 255, 0, 0)]), // for ever
    ...frames.flat(),
  ];
  return chunk("RIFF", [letters("WEBP"), ...parts]);
}

const letters = (name) => new TextEncoder().encode(name);
const number = (value, bytes) => Array.from({ length: bytes }, (_, k) => (value >>> (8 * k)) & 255);

// A name, the length of the contents and these, of an even number of bytes in all.
function chunk(name, parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [letters(name), Uint8Array.from(number(length, 4)), ...parts, new Uint8Array(length % 2)];
}
