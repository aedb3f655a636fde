import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that are in use when everything that can be let go has been let go. */
export function heapUsed(): number {
  collect()
  return process.memoryUsage().heapUsed
}
