import { Duplex } from 'node:stream'
import type { Clock } from '../../src/core/ports.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { ZoneDialError } from '../../src/zones/dial-error.ts'
import type { Dial, Dialled } from '../../src/zones/ports.ts'

/* A network in memory, on a clock that a world moves: it delays, cuts into slices, glues together, stalls, swallows and breaks. */

/** One connection of the network. */
export interface Link {
  /** Who has connected. */
  readonly who: string
  readonly isOpen: boolean
  do(mischief: Mischief): void
}

/** Times are in ms. */
export type Mischief =
  | { readonly kind: 'fin' | 'rst' }
  | { readonly kind: 'stall'; readonly way: 'up' | 'down'; readonly ms: number }
  /** It swallows all from now on, and says nothing of it; then it is reset. */
  | { readonly kind: 'half-open'; readonly ms: number }
  | { readonly kind: 'slices'; readonly size: number; readonly pieces: number }
  | { readonly kind: 'delay'; readonly ms: number }

export interface NetworkParts {
  readonly clock: Clock
  readonly random: SeededRandom
  /** A write of the accepting end, before it leaves; `number` is of the connection. */
  readonly wrote?: (who: string, number: number, bytes: Buffer) => void
}

export interface Network {
  readonly links: readonly Link[]
  /** @param accept what becomes of the accepting end */
  dial(who: string, accept: (stream: Duplex) => void): Dial
  /** Nobody gets through for so long. */
  outage(ms: number): void
  /**
   * All flows as it should, for good.
   * @param findsOut whether he whose connection is half-open finds that out by himself
   */
  calm(findsOut: (who: string) => boolean): void
}

/** Bytes that one way holds before its writer waits. */
const WINDOW = 1_500
const DELAYS = [0, 0, 1, 4, 15]

export function createNetwork({ clock, random, wrote = () => {} }: NetworkParts): Network {
  let links: (Link & { calm(): void; cut(): void })[] = []
  let closedUntil = 0
  let made = 0

  function connect(who: string): [Duplex, Duplex] {
    const ends = [] as End[]
    const number = ++made
    const up = createWay(clock, random.pick(DELAYS), () => ends[0] as End, () => ends[1] as End)
    const down = createWay(clock, random.pick(DELAYS), () => ends[1] as End, () => ends[0] as End)
    const [near, far] = [new End(up, down), new End(down, up, (bytes) => wrote(who, number, bytes))]
    ends.push(near, far)
    const cut = (): void => {
      near.destroy()
      far.destroy()
    }
    const link = {
      who,
      get isOpen() { return !near.destroyed || !far.destroyed },
      do(mischief: Mischief) {
        switch (mischief.kind) {
          case 'rst': return cut()
          case 'fin': return [up, down].forEach((way) => way.carry('end', () => {}))
          case 'stall': return (mischief.way === 'up' ? up : down).stall(mischief.ms)
          case 'half-open': {
            for (const way of [up, down]) way.swallow()
            if (mischief.ms !== Infinity) clock.after(mischief.ms, cut)
            return
          }
          case 'slices': return [up, down].forEach((way) => way.slice(mischief.size, mischief.pieces))
          case 'delay': return [up, down].forEach((way) => way.delay(mischief.ms))
          default: mischief satisfies never
        }
      },
      calm() {
        for (const way of [up, down]) way.calm()
      },
      cut() {
        if (up.swallows) cut()
      },
    }
    links = links.filter(({ isOpen }) => isOpen)
    links.push(link)
    return [near, far]
  }

  return {
    get links() { return links.filter(({ isOpen }) => isOpen) },
    dial: (who, accept) => () => new Promise<Dialled>((resolve, reject) => {
      clock.after(random.below(10), () => {
        if (clock.monotonic() < closedUntil) return reject(new ZoneDialError('refused', 'an outage'))
        const [stream, far] = connect(who)
        accept(far)
        resolve({ stream, names: [], address: '192.0.2.1', certificateNames: [] })
      })
    }),
    outage(ms) {
      closedUntil = clock.monotonic() + ms
      for (const link of links) link.do({ kind: 'rst' })
    },
    calm(findsOut) {
      closedUntil = 0
      for (const link of links) {
        if (!findsOut(link.who)) link.cut()
        link.calm()
      }
    },
  }
}

interface Way {
  readonly swallows: boolean
  carry(what: Buffer | 'end' | 'close', done: () => void): void
  /** The reader wants more. */
  wanted(): void
  stall(ms: number): void
  slice(size: number, pieces: number): void
  delay(ms: number): void
  swallow(): void
  calm(): void
}

/** One end, that a connection of Erps is opened over. */
class End extends Duplex {
  readonly #out: Way
  readonly #in: Way
  readonly #wrote: (bytes: Buffer) => void

  constructor(out: Way, into: Way, wrote: (bytes: Buffer) => void = () => {}) {
    super()
    this.#out = out
    this.#in = into
    this.#wrote = wrote
    this.on('error', () => {})
  }

  override _read(): void {
    this.#in.wanted()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#wrote(chunk)
    this.#out.carry(chunk, done)
  }

  override _final(done: () => void): void {
    this.#out.carry('end', done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#out.carry('close', () => {})
    done(error)
  }
}

function createWay(clock: Clock, latency: number, writer: () => End, reader: () => End): Way {
  const queue: (Buffer | 'end' | 'close')[] = []
  let dones: (() => void)[] = []
  let held = 0
  let ms = latency
  let slices = { size: 0, pieces: 0 }
  let stalledUntil = 0
  let swallows = false
  let isWanted = true
  let isTimed = false

  function pump(): void {
    if (isTimed || queue.length === 0 || swallows || (!isWanted && typeof queue[0] !== 'string')) return
    isTimed = true
    clock.after(Math.max(ms, stalledUntil - clock.monotonic()), () => {
      isTimed = false
      if (clock.monotonic() < stalledUntil) return pump()
      if (!swallows) deliver()
      pump()
    })
  }

  function deliver(): void {
    const to = reader()
    const first = queue[0]
    if (to.destroyed) {
      // What nobody reads any more is answered by a reset.
      queue.length = held = 0
      if (first !== 'close') writer().destroy()
    } else if (first === 'close') {
      queue.shift()
      to.destroy()
    } else if (first === 'end') {
      queue.shift()
      to.push(null)
    } else isWanted = !to.readableEnded && to.push(take())
    if (held < WINDOW) {
      const free = dones
      dones = []
      for (const done of free) done()
    }
  }

  /** All that is here, as one; or a piece of it. */
  function take(): Buffer {
    const end = queue.findIndex((one) => typeof one === 'string')
    const all = queue.splice(0, end === -1 ? queue.length : end) as Buffer[]
    const bytes = all.length === 1 ? all[0] as Buffer : Buffer.concat(all)
    const piece = slices.pieces > 0 ? bytes.subarray(0, slices.size) : bytes
    if (slices.pieces > 0) slices.pieces--
    if (piece.length < bytes.length) queue.unshift(bytes.subarray(piece.length))
    held -= piece.length
    return piece
  }

  return {
    get swallows() { return swallows },
    carry(what, done) {
      queue.push(what)
      if (typeof what !== 'string') held += what.length
      if (held < WINDOW) done()
      else dones.push(done)
      pump()
    },
    wanted() {
      isWanted = true
      pump()
    },
    stall(time) {
      stalledUntil = clock.monotonic() + time
    },
    slice(size, pieces) {
      slices = { size, pieces }
    },
    delay(time) {
      ms = time
    },
    swallow() {
      swallows = true
    },
    calm() {
      stalledUntil = 0
      ms = latency
      slices.pieces = 0
      pump()
    },
  }
}
