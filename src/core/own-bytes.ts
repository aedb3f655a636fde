/**
 * A buffer is often a slice of a larger one: of what was read from a socket, or of Node's pool for small buffers. What is kept
 * for long must not keep that alive with it, or it would weigh 64 KiB where it is counted with its few bytes.
 */
export function own(buffer: Buffer): Buffer {
  if (fills(buffer)) return buffer
  const copy = Buffer.allocUnsafeSlow(buffer.length)
  copy.set(buffer)
  return copy
}

/** Whether at least half of the memory that a buffer keeps alive is its own bytes. */
export function fills(buffer: Buffer): boolean {
  return buffer.length * 2 >= buffer.buffer.byteLength
}
