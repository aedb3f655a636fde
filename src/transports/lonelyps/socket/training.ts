import type { Clock, Random } from '../../../core/ports.ts'
import { buildDictionaryInSlices } from '../../../protocol/lonelyps/dictionary.ts'
import { createReservoir } from './reservoir.ts'
import { FIRST_CUSTOM } from './shared-compression.ts'
import type { TrainingBudget } from './training-budget.ts'

export { FIRST_CUSTOM } from './shared-compression.ts'
export { createTrainingBudget, type TrainingBudget } from './training-budget.ts'

export interface TrainingOptions {
  /** Messages of at least so many bytes, and of fewer than `maxSize`, are learned from and compressed. */
  readonly minSize: number
  readonly maxSize: number
  /** Bytes of such messages before the first dictionary. */
  readonly lowWatermark: number
  /** And before the second. */
  readonly highWatermark: number
  /** Milliseconds from then on from one dictionary to the next. */
  readonly retrainInterval: number
}

/** What the owner must do, in this order: say it to the peer, and to the connection's compressors. */
export type TrainingStep =
  | { readonly type: 'disable'; readonly id: number }
  | { readonly type: 'enable'; readonly id: number; readonly dictionary: Buffer; readonly level: number; readonly minSize: number; readonly maxSize: number }

/** Learns from the messages of one connection what they have in common. */
export interface Training {
  /** A message of the connection, sent or received, before its compression. It is copied where it is kept. */
  sample(bytes: Buffer): void
  /** The connection is gone: nothing is told any more, and everything it took is given back. */
  end(): void
}

export interface TrainingParts {
  readonly clock: Clock
  readonly random: Random
  readonly budget: TrainingBudget
  readonly options: TrainingOptions
  /** Called in turns of its own, never from within `sample`. */
  readonly tell: (step: TrainingStep) => void
}

const MOST_ALIVE = 2
/**
 * The original meant 10 for the second dictionary. With 64 KiB of dictionary that costs 155 us a message where 3 costs
 * 90, on either side, and saves 5 bytes of 50.
 */
const LEVEL = 3
/** Bytes of a dictionary, and of the samples it is made of: the first, and those that follow. */
const FIRST = { dictionary: 16_384, samples: 131_072 }
const LATER = { dictionary: 65_536, samples: 524_288 }
/** Where less than this recurs there is nothing to gain. */
const LEAST_USE = 128
/** Milliseconds between two slices of work, in which the event loop does other things. */
const PAUSE = 1

interface Made {
  readonly id: number
  readonly size: number
}

/** As designed in section 4.13: a first dictionary soon, a second from much more, and later ones from what is new. */
export function createTraining({ clock, random, budget, options, tell }: TrainingParts): Training {
  const reservoir = createReservoir(FIRST.samples, random, budget)
  const alive: Made[] = []
  /** No more used for sending, but the peer may still use it. */
  let retired: Made | undefined
  let nextId = FIRST_CUSTOM
  let rounds = 0
  let trainedAt = 0
  let booked = 0
  let building = false
  let ended = false
  let stopWaiting = (): void => {}
  let leave = (): void => {}

  function due(): boolean {
    if (rounds === 0) return reservoir.seen >= options.lowWatermark
    if (rounds === 1) return reservoir.seen >= options.highWatermark
    return reservoir.seen >= options.lowWatermark && clock.monotonic() - trainedAt >= options.retrainInterval
  }

  function start(): void {
    const { dictionary } = rounds === 0 ? FIRST : LATER
    if (!budget.take(dictionary)) {
      // Were the samples kept, connections that wait for one another's room would wait for ever.
      reservoir.clear()
      return
    }
    booked += dictionary
    building = true
    leave = budget.queue(() => {
      stopWaiting = clock.after(PAUSE, () => {
        dropOldest()
        goOn(buildDictionaryInSlices(reservoir.samples(), dictionary), dictionary)
      })
    })
  }

  function dropOldest(): void {
    if (alive.length < MOST_ALIVE) return
    if (retired !== undefined) giveBack(retired.size)
    retired = alive.shift() as Made
    tell({ type: 'disable', id: retired.id })
  }

  function goOn(steps: Generator<undefined, Buffer>, size: number): void {
    // Telling, or what it caused, may have ended the connection.
    if (ended) return
    const { done, value } = steps.next()
    if (done === true) finish(value, size)
    else stopWaiting = clock.after(PAUSE, () => goOn(steps, size))
  }

  function finish(dictionary: Buffer, size: number): void {
    building = false
    if (rounds === 0) reservoir.grow(LATER.samples)
    else reservoir.clear()
    rounds++
    trainedAt = clock.monotonic()
    leave()
    const useful = dictionary.length >= LEAST_USE
    giveBack(useful ? size - dictionary.length : size)
    if (!useful) return
    const id = nextId++
    alive.push({ id, size: dictionary.length })
    const { minSize, maxSize } = options
    tell({ type: 'enable', id, dictionary, level: LEVEL, minSize, maxSize })
  }

  function giveBack(bytes: number): void {
    booked -= bytes
    budget.giveBack(bytes)
  }

  return {
    sample(bytes) {
      if (ended || building || bytes.length < options.minSize || bytes.length >= options.maxSize) return
      reservoir.offer(bytes)
      if (due()) start()
    },
    end() {
      if (ended) return
      ended = true
      stopWaiting()
      leave()
      reservoir.clear()
      giveBack(booked)
    },
  }
}
