// A loop as a WebM file, the part of Matroska (RFC 9559) that one video track needs.

const CLUSTER = 4000; // milliseconds that one holds at most

const bytesOf = (value) => {
  const bytes = [];
  for (let rest = value; rest > 0 || !bytes.length; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return bytes;
};
const string = (value) => new TextEncoder().encode(value);
const number = (value) => Uint8Array.from(bytesOf(value));

function double(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

// An element: its id, its length in eight bytes, its contents (a list of arrays of bytes, nested as they come).
function element(id, ...contents) {
  const parts = contents.flat(Infinity);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(parts.reduce((sum, part) => sum + part.length, 0)));
  length[0] = 1; // marks a length of eight bytes
  return [number(id), length, ...parts];
}

// chunks: {time (milliseconds), key, data}, in order; codec: Matroska's name of it. -> parts of a Blob.
export function webm(chunks, { codec, width, height, fps, count }) {
  const head = element(0x1a45dfa3, [
    element(0x4286, number(1)), element(0x42f7, number(1)), element(0x42f2, number(4)), element(0x42f3, number(8)),
    element(0x4282, string("webm")), element(0x4287, number(4)), element(0x4285, number(2)),
  ]);
  const info = element(0x1549a966, [
    element(0x2ad7b1, number(1_000_000)), // a tick is a millisecond
    element(0x4489, double((1000 * count) / fps)),
    element(0x4d80, string("image dynamics")), element(0x5741, string("image dynamics studio")),
  ]);
  const video = element(0xe0, [element(0xb0, number(width)), element(0xba, number(height))]);
  const track = element(0xae, [
    element(0xd7, number(1)), element(0x73c5, number(1)), element(0x83, number(1)), element(0x9c, number(0)),
    element(0x86, string(codec)), element(0x23e383, number(Math.round(1e9 / fps))), video,
  ]);
  return [...head, ...element(0x18538067, [info, element(0x1654ae6b, track), clusters(chunks)])];
}

function clusters(chunks) {
  const groups = [];
  for (const chunk of chunks) {
    const last = groups[groups.length - 1];
    if (!last || (chunk.key && chunk.time > last[0].time) || chunk.time - last[0].time > CLUSTER) groups.push([chunk]);
    else last.push(chunk);
  }
  return groups.map((group) => [
    element(0x1f43b675, [
      element(0xe7, number(group[0].time)),
      group.map(({ time, key, data }) => {
        const ticks = time - group[0].time;
        return element(0xa3, [Uint8Array.of(0x81, ticks >> 8, ticks & 255, key ? 0x80 : 0), data]);
      }),
    ]),
  ]);
}
