import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Random } from '../../src/core/ports.ts'

/** What a network does to connections. Times are in milliseconds. */
export type Mischief =
  /** Everything that is open ends, with a word (FIN) or without one (RST). */
  | { readonly kind: 'cut'; readonly how: 'fin' | 'rst' }
  /** Nothing goes through, and then all that was held. */
  | { readonly kind: 'stall'; readonly ms: number; readonly way: 'up' | 'down' | 'both' }
  /** What is open swallows everything from now on, and neither end is told, not even of the end of the other; then it is reset. */
  | { readonly kind: 'half-open'; readonly ms: number }
  /** What comes next goes on piece by piece, at most so long each; for that many bytes. */
  | { readonly kind: 'slices'; readonly size: number; readonly bytes: number }
  /** Each chunk waits before it goes on, in its order. */
  | { readonly kind: 'delay'; readonly ms: number; readonly chunks: number }
  /** Everything that is open is cut, and newcomers are refused. */
  | { readonly kind: 'outage'; readonly ms: number }

export type MischiefCounts = { readonly [K in Mischief['kind']]: number }

/** A TCP proxy between a taker and a giver that behaves as badly as it is told to. */
export interface ChaosProxy {
  readonly port: number
  /** Connections that reach the giver. */
  readonly open: number
  /** Connections that were ever made to the giver. */
  readonly made: number
  readonly counts: MischiefCounts
  do(mischief: Mischief): void
  /** Newcomers are let through again, nothing waits any longer, and what is half-open is reset. */
  calm(): void
  close(): void
}

/** One direction of one connection. */
interface Pipe {
  stall(): void
  /** Takes one stall back, or all. */
  resume(which: 'one' | 'all'): void
  slice(size: number, bytes: number): void
  delay(ms: number, chunks: number): void
  swallow(): void
}

interface Pair {
  readonly up: Pipe
  readonly down: Pipe
  readonly halfOpen: boolean
  swallow(): void
  cut(how: 'fin' | 'rst'): void
}

/** @param to the port of the giver, asked at each connection */
export async function startChaosProxy(to: () => number): Promise<ChaosProxy> {
  const pairs = new Set<Pair>()
  const timers = new Set<NodeJS.Timeout>()
  const counts = { cut: 0, stall: 0, 'half-open': 0, slices: 0, delay: 0, outage: 0 }
  let outages = 0
  let made = 0

  function later(ms: number, fn: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      fn()
    }, ms)
    timers.add(timer)
  }

  const server = createServer({ allowHalfOpen: true }, (near) => {
    near.on('error', () => {})
    if (outages > 0) {
      reset(near)
      return
    }
    made++
    const far = connect({ port: to(), host: '127.0.0.1', allowHalfOpen: true })
    const pair = join(near, far)
    pairs.add(pair)
    const gone = (): void => {
      if (near.destroyed && far.destroyed) pairs.delete(pair)
    }
    near.on('close', gone)
    far.on('close', gone)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const all = (fn: (pair: Pair) => void): void => {
    for (const pair of pairs) fn(pair)
  }
  const pipes = (way: 'up' | 'down' | 'both') => (pair: Pair): Pipe[] => (way === 'both' ? [pair.up, pair.down] : [pair[way]])

  return {
    port: (server.address() as AddressInfo).port,
    get open() { return pairs.size },
    get made() { return made },
    counts,
    do(mischief) {
      counts[mischief.kind]++
      switch (mischief.kind) {
        case 'cut':
          return all((pair) => pair.cut(mischief.how))
        case 'stall': {
          const held = [...pairs].flatMap(pipes(mischief.way))
          for (const pipe of held) pipe.stall()
          return later(mischief.ms, () => held.forEach((pipe) => pipe.resume('one')))
        }
        case 'half-open': {
          const open = [...pairs]
          for (const pair of open) pair.swallow()
          return later(mischief.ms, () => open.forEach((pair) => pair.cut('rst')))
        }
        case 'slices':
          return all((pair) => [pair.up, pair.down].forEach((pipe) => pipe.slice(mischief.size, mischief.bytes)))
        case 'delay':
          return all((pair) => [pair.up, pair.down].forEach((pipe) => pipe.delay(mischief.ms, mischief.chunks)))
        case 'outage':
          outages++
          all((pair) => pair.cut('rst'))
          return later(mischief.ms, () => outages--)
        default:
          mischief satisfies never
      }
    },
    calm() {
      for (const timer of timers) clearTimeout(timer)
      timers.clear()
      outages = 0
      all((pair) => {
        if (pair.halfOpen) pair.cut('rst')
        else for (const pipe of [pair.up, pair.down]) pipe.resume('all')
      })
    },
    close() {
      for (const timer of timers) clearTimeout(timer)
      all((pair) => pair.cut('rst'))
      server.close()
    },
  }
}

function join(near: Socket, far: Socket): Pair {
  let cut = false
  let halfOpen = false
  // Without it the kernel glues together what was sliced with care.
  for (const socket of [near, far]) socket.setNoDelay(true)
  const pair: Pair = {
    up: pipe(near, far),
    down: pipe(far, near),
    get halfOpen() { return halfOpen },
    swallow() {
      halfOpen = true
      for (const one of [pair.up, pair.down]) one.swallow()
    },
    cut(how) {
      cut = true
      for (const socket of [near, far]) {
        if (how === 'rst') reset(socket)
        else socket.destroySoon()
      }
    },
  }
  for (const [one, other] of [[near, far], [far, near]] as const) {
    one.on('error', () => {})
    // An end that goes without a word takes the other with it.
    one.on('close', () => {
      if (!cut && !halfOpen) other.destroy()
    })
  }
  return pair
}

/** One that has said its FIN, or is not there yet, cannot be reset: its handle would stay, and keep the process at its end. */
function reset(socket: Socket): void {
  if (socket.writableEnded || socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}

/** Carries chunks from one socket to the other in their order, the next when the one before has gone. */
function pipe(from: Socket, to: Socket): Pipe {
  const waiting: (Buffer | 'end')[] = []
  let stalls = 0
  let busy = false
  let swallows = false
  let slices = { size: 0, bytes: 0 }
  let delays = { ms: 0, chunks: 0 }

  function pump(): void {
    if (busy || stalls > 0) return
    const next = waiting.shift()
    if (next === undefined) return
    if (waiting.length === 0) from.resume()
    if (swallows) return pump()
    if (next === 'end') return void to.end()
    busy = true
    const done = (): void => {
      busy = false
      pump()
    }
    if (delays.chunks > 0) {
      delays.chunks--
      setTimeout(() => write(next, done), delays.ms)
    } else write(next, done)
  }

  function write(chunk: Buffer, done: () => void): void {
    if (slices.bytes <= 0 || swallows || to.destroyed) {
      if (swallows || to.destroyed) return done()
      if (to.write(chunk)) done()
      else to.once('drain', done)
      return
    }
    const piece = chunk.subarray(0, slices.size)
    slices.bytes -= piece.length
    to.write(piece)
    // A turn of its own for each, so that each is a segment of its own.
    setImmediate(() => {
      if (piece.length < chunk.length) write(chunk.subarray(piece.length), done)
      else done()
    })
  }

  from.on('data', (chunk: Buffer) => {
    if (swallows) return
    waiting.push(chunk)
    // Held back as a network does: by not reading on.
    if (waiting.length > 16) from.pause()
    pump()
  })
  from.on('end', () => {
    if (swallows) return
    waiting.push('end')
    pump()
  })
  to.on('close', () => {
    waiting.length = 0
    from.resume()
  })

  return {
    stall() {
      stalls++
    },
    resume(which) {
      stalls = which === 'all' ? 0 : Math.max(0, stalls - 1)
      pump()
    },
    slice(size, bytes) {
      slices = { size, bytes }
    },
    delay(ms, chunks) {
      delays = { ms, chunks }
    },
    swallow() {
      swallows = true
      waiting.length = 0
      from.resume()
    },
  }
}

/** Mischief by chance, the worse the longer its times may be. */
export function mischiefBy(random: Random, most: { readonly ms: number }): Mischief {
  const below = (n: number): number => Math.floor(random.next() * n)
  const ms = 1 + below(most.ms)
  switch (below(8)) {
    case 0: return { kind: 'cut', how: 'fin' }
    case 1: return { kind: 'cut', how: 'rst' }
    case 2: return { kind: 'stall', ms, way: (['up', 'down', 'both'] as const)[below(3)] as 'both' }
    case 3: return { kind: 'half-open', ms: 2 * ms }
    case 4: return { kind: 'slices', size: 1, bytes: 2_000 }
    case 5: return { kind: 'slices', size: 1 + below(97), bytes: 20_000 }
    case 6: return { kind: 'delay', ms: 1 + below(30), chunks: 1 + below(20) }
    default: return { kind: 'outage', ms }
  }
}
