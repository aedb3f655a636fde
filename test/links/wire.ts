import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'

/** Bytes that are on their way before the writer has to wait. */
const WINDOW = 2_048

/** One end of a connection whose network a test plays: nothing arrives before it is carried. */
class End extends Duplex {
  bytesWritten = 0
  peer: End | undefined
  #flight = Buffer.alloc(0)
  #isFinal = false
  #waiting: (() => void) | undefined

  constructor() {
    super({ autoDestroy: true, allowHalfOpen: false })
    // Errors are told to whoever listens; here they must only not be nobody's.
    this.on('error', () => {})
  }

  get inFlight(): number {
    return this.destroyed ? 0 : this.#flight.length + (this.#isFinal ? 1 : 0)
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#flight = Buffer.concat([this.#flight, chunk])
    this.bytesWritten += chunk.length
    if (this.#flight.length < WINDOW) done()
    else this.#waiting = done
  }

  override _final(done: () => void): void {
    this.#isFinal = true
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.peer?.destroy()
    done(error)
  }

  /** Brings so many bytes over, and the end behind the last. */
  carry(bytes: number): void {
    if (this.destroyed || this.peer === undefined || this.peer.destroyed) return
    const chunk = this.#flight.subarray(0, bytes)
    this.#flight = this.#flight.subarray(bytes)
    if (chunk.length > 0) this.peer.push(Buffer.from(chunk))
    if (this.#flight.length === 0 && this.#isFinal) this.peer.push(null)
    if (this.#flight.length < WINDOW) {
      const done = this.#waiting
      this.#waiting = undefined
      done?.()
    }
  }
}

/** A connection with a network between its ends. */
export interface Wire {
  readonly taker: Duplex
  /** As much of a socket as the daemon's end of a connection asks for. */
  readonly giver: Socket
  readonly isOver: boolean
  readonly inFlight: number
  /** Some bytes arrive, one way. */
  carry(random: SeededRandom): void
  carryAll(): void
  cut(): void
}

export function createWire(): Wire {
  const [taker, giver] = [new End(), new End()]
  taker.peer = giver
  giver.peer = taker
  return {
    taker,
    giver: giver as unknown as Socket,
    get isOver() { return taker.destroyed && giver.destroyed },
    get inFlight() { return taker.inFlight + giver.inFlight },
    carry(random) {
      const from = random.below(3) === 0 ? taker : giver
      from.carry(1 + random.below(random.pick([3, 30, 300, 3_000])))
    },
    carryAll() {
      taker.carry(Infinity)
      giver.carry(Infinity)
    },
    cut() {
      taker.destroy(new Error('cut'))
    },
  }
}
