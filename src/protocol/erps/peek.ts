/*
 * Numbers of an encoding that may be cut: what is missing counts as 0, and whoever steps over the number finds himself
 * behind the end.
 */

export function peek8(bytes: Buffer, at: number): number {
  return bytes[at] ?? 0
}

export function peek16(bytes: Buffer, at: number): number {
  return peek8(bytes, at) * 256 + peek8(bytes, at + 1)
}

export function peek32(bytes: Buffer, at: number): number {
  return peek16(bytes, at) * 65_536 + peek16(bytes, at + 2)
}
