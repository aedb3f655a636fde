import type { Bare } from './ports.ts'

/**
 * The same bytes for one who keeps them while a call waits. What comes from the network is a view of all that came with it, and a small
 * buffer a view of the pool: ten bytes would keep 64 KiB, of which no account knows. So they are copied where what is
 * around them is more than they are themselves.
 */
export function own(bytes: Bare): Bare {
  if (2 * bytes.length >= bytes.buffer.byteLength) return bytes
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}
