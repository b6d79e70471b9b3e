// A loop as an MP4 file, the part of the ISO base media file format (ISO/IEC 14496-12) that one video track needs: what is
// told of it comes first, so that it plays while it is fetched.

const TICKS = 90_000; // a second
const MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];
const PRIMARIES = { bt709: 1, bt470bg: 5, smpte170m: 6, bt2020: 9 };
const TRANSFERS = { bt709: 1, smpte170m: 6, linear: 8, "iec61966-2-1": 13 };
const MATRICES = { rgb: 0, bt709: 1, bt470bg: 5, smpte170m: 6, "bt2020-ncl": 9 };

// chunks: {time (milliseconds), key, data}, in the order in which they are shown; codec: avc1, which is H.264
// (ISO/IEC 14496-15); decoder: what WebCodecs' encoder tells. -> parts of a Blob.
export function mp4(chunks, facts) {
  if (chunks.some(({ time }, k) => k > 0 && time <= chunks[k - 1].time)) {
    throw new Error("this browser encodes frames out of their order; save the loop in another format");
  }
  const head = box("ftyp", [letters("isom"), uint32(0x200), letters(`isomiso2${facts.codec}mp41`)]);
  // How long it is does not depend on where the data begins.
  const start = lengthOf(head) + lengthOf(movie(chunks, facts, 0)) + 8;
  return [...head, ...movie(chunks, facts, start), ...box("mdat", chunks.map(({ data }) => data))];
}

function movie(chunks, facts, start) {
  const { width, height, fps, count } = facts;
  const length = Math.round((count * TICKS) / fps);
  const header = full("mvhd", 0, [
    uint32(0, 0, TICKS, length, 0x10000), uint16(0x100, 0), uint32(0, 0, ...MATRIX, 0, 0, 0, 0, 0, 0, 2),
  ]);
  const track = full("tkhd", 3, [ // enabled, in the movie
    uint32(0, 0, 1, 0, length, 0, 0), uint16(0, 0, 0, 0), uint32(...MATRIX, width * 65536, height * 65536),
  ]);
  const media = full("mdhd", 0, [uint32(0, 0, TICKS, length), uint16(0x55c4, 0)]); // of no language
  const handler = full("hdlr", 0, [uint32(0), letters("vide"), uint32(0, 0, 0), letters("loop\0")]);
  const here = box("dinf", full("dref", 0, [uint32(1), ...full("url ", 1, [])])); // in this file
  const information = box("minf", [...full("vmhd", 1, [uint16(0, 0, 0, 0)]), ...here, ...samples(chunks, facts, start)]);
  return box("moov", [...header, ...box("trak", [...track, ...box("mdia", [...media, ...handler, ...information])])]);
}

// Which bytes are which frame, and when it is shown.
function samples(chunks, facts, start) {
  const keys = chunks.flatMap(({ key }, index) => (key ? [index + 1] : []));
  return box("stbl", [
    ...full("stsd", 0, [uint32(1), ...entry(facts)]),
    ...full("stts", 0, [uint32(1, chunks.length, Math.round(TICKS / facts.fps))]),
    ...full("stss", 0, [uint32(keys.length, ...keys)]),
    ...full("stsc", 0, [uint32(1, 1, chunks.length, 1)]), // all in one piece
    ...full("stsz", 0, [uint32(0, chunks.length, ...chunks.map(({ data }) => data.length))]),
    ...full("stco", 0, [uint32(1, start)]),
  ]);
}

function entry({ codec, decoder, width, height }) {
  const description = ArrayBuffer.isView(decoder.description) ? Uint8Array.from(decoder.description) : new Uint8Array(decoder.description);
  const picture = [uint32(0), uint16(0, 1), uint32(0, 0, 0, 0), uint16(width, height), uint32(0x480000, 0x480000, 0)];
  const name = [uint16(1), new Uint8Array(32), uint16(24, 0xffff)]; // one frame a sample, no name, 24 bits
  return box(codec, [...picture, ...name, ...box("avcC", [description]), ...colour(decoder.colorSpace)]);
}

function colour(space) {
  if (!space?.matrix) return [];
  const codes = [PRIMARIES[space.primaries], TRANSFERS[space.transfer], MATRICES[space.matrix]].map((code) => code ?? 2);
  return box("colr", [letters("nclx"), uint16(...codes), Uint8Array.of(space.fullRange ? 0x80 : 0)]);
}

// Boxes ----------------------------------------------------------------------------------------------------------------

const letters = (name) => new TextEncoder().encode(name);
const lengthOf = (parts) => parts.reduce((sum, part) => sum + part.length, 0);

function numbers(bytes, write, values) {
  const out = new Uint8Array(bytes * values.length);
  const view = new DataView(out.buffer);
  values.forEach((value, index) => view[write](bytes * index, value));
  return out;
}

const uint32 = (...values) => numbers(4, "setUint32", values);
const uint16 = (...values) => numbers(2, "setUint16", values);

// A length, a name and contents, all of them arrays of bytes.
function box(name, parts) {
  return [uint32(8 + lengthOf(parts)), letters(name), ...parts];
}

// A box whose contents begin with its version and flags.
const full = (name, flags, parts) => box(name, [uint32(flags), ...parts]);
