// Numbers of trained networks as they are stored in the page: base64 of little-endian float16 in C order.

export interface StoredTensor {
  readonly shape: readonly number[];
  readonly float16: string;
}

export interface Tensor {
  readonly shape: readonly number[];
  /** In C order: the last axis runs fastest. */
  readonly values: Float32Array;
}

/** The number that 16 bits stand for (IEEE 754 binary16). Not every browser has Float16Array. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** A stored tensor's numbers; throws where they are not as many as its shape says. */
export function tensor({ shape, float16 }: StoredTensor): Tensor {
  const bytes = Uint8Array.from(atob(float16), (sign) => sign.charCodeAt(0));
  const count = shape.reduce((product, side) => product * side, 1);
  if (bytes.length !== 2 * count) {
    throw new RangeError(`a tensor of ${shape.join("×")} takes ${2 * count} bytes of float16, but ${bytes.length} are stored`);
  }
  const view = new DataView(bytes.buffer);
  return { shape, values: Float32Array.from({ length: count }, (_, k) => fromHalf(view.getUint16(2 * k, true))) };
}
