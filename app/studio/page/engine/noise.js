// The noise that a seed stands for: PyTorch's torch.randn on the CPU, so that a seed means the same motion here as there.
// Uniform numbers are those of the Mersenne Twister (Matsumoto and Nishimura 1998); PyTorch turns each sixteen of them
// into normal ones by the Box-Muller transform, the first eight with the last eight.

const [LENGTH, MIDDLE] = [624, 397];

class MersenneTwister {
  // A seed's lowest 32 bits count, as in PyTorch; it may be a BigInt.
  constructor(seed) {
    this.state = new Uint32Array(LENGTH);
    this.state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < LENGTH; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = LENGTH;
  }

  refill() {
    const { state } = this;
    for (let i = 0; i < LENGTH; i++) {
      const mixed = (state[i] & 0x80000000) | (state[(i + 1) % LENGTH] & 0x7fffffff);
      state[i] = state[(i + MIDDLE) % LENGTH] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  // 32 random bits.
  bits() {
    if (this.next === LENGTH) this.refill();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  // In [0, 1), 24 bits of it.
  uniform() {
    return (this.bits() & 0xffffff) / 0x1000000;
  }
}

// `count` standard normal numbers, at least 16: torch.randn(count, generator=torch.Generator().manual_seed(seed)).
export function normalNoise(seed, count) {
  if (count < 16) throw new Error("PyTorch draws fewer than 16 numbers in another way");
  const random = new MersenneTwister(seed);
  const values = Float32Array.from({ length: count }, () => random.uniform());
  for (let start = 0; start + 16 <= count; start += 16) toNormal(values, start);
  if (count % 16) {
    // What is left over: the last sixteen are drawn anew.
    for (let i = count - 16; i < count; i++) values[i] = random.uniform();
    toNormal(values, count - 16);
  }
  return values;
}

function toNormal(values, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(Math.fround(1 - values[i])));
    const angle = 2 * Math.PI * values[i + 8];
    values[i] = radius * Math.cos(angle);
    values[i + 8] = radius * Math.sin(angle);
  }
}
