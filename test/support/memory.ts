import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/**
 * Bytes that are in use when everything that can be let go has been let go. What a running function has in a variable, also
 * one of a block that is over, counts as used until it is compiled: what is measured belongs in a function of its own.
 */
export function heapUsed(): number {
  collect()
  return process.memoryUsage().heapUsed
}

/** The same for the bytes of buffers. A buffer that was let go is given back in a later turn. */
export async function buffersUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect()
    await new Promise(setImmediate)
  }
  return process.memoryUsage().arrayBuffers
}
