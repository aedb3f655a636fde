import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Arrears } from '../../src/core/arrears.ts'
import { createFanOut, type Encoder, type FanOut, type Member } from '../../src/core/fan-out.ts'
import type { Message } from '../../src/core/message.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/index.ts'

/*
 * A fan-out against a model that knows of nobody who is behind: it gives each member everything in order, and lets go of
 * those who have more than the bound to get from earlier turns.
 */
const WORLDS = 300
const TOPIC = topicFromText('t')
const NAMES = ['cn:a', 'cn:b'] as const
const GAP = 'gap\n'

/** A connection, what its client has taken of it, and what the model says that it must have got. */
class Client implements Member {
  slot = -1
  arrears: Arrears | undefined = undefined
  readonly names?: ReadonlySet<string>
  readonly enough: number | undefined
  got = ''
  taken = 0
  ending: string | undefined
  #full = false
  expected = ''
  expectedEnd: string | undefined
  /** Messages that it was written, also when it did not take them any more. */
  messages = 0

  constructor(enough: number | undefined, names: ReadonlySet<string> | undefined) {
    this.enough = enough
    if (names !== undefined) this.names = names
  }

  get pendingBytes(): number {
    return this.got.length - this.taken + (this.arrears?.bytes ?? 0)
  }
  write(chunk: Buffer): boolean {
    const text = chunk.toString()
    this.messages += text.split('\n').filter((line) => line !== '' && `${line}\n` !== GAP).length
    if (this.ending !== undefined) return true
    this.got += text
    this.#full ||= this.enough !== undefined && this.got.length - this.taken > this.enough
    return !this.#full
  }
  take(bytes: number): void {
    this.taken = Math.min(this.got.length, this.taken + bytes)
    if (!this.#full || this.taken < this.got.length) return
    this.#full = false
    this.arrears?.drained()
  }
  close(why: string): void {
    if (this.ending !== undefined) return
    this.arrears?.settle()
    this.ending = why
  }
  evict(): void {
    this.close('evicted')
  }
  gone(why: string): void {
    this.close(why)
  }
  room(): undefined {
    return undefined
  }
}

interface Model {
  readonly here: Set<Client>
  readonly gone: Set<Client>
  pending: Message[]
  slow: number
  told: number
}

interface World {
  readonly fanOut: FanOut
  readonly model: Model
  readonly random: SeededRandom
  readonly hasGaps: boolean
  readonly maxPendingBytes: number
  readonly counted: { delivered: number; told: number; slow: number }
  flush(): void
}

function createWorld(seed: number): World {
  const random = createSeededRandom(seed)
  const hasGaps = random.next() < 0.5
  const maxPendingBytes = random.pick([10, 40, 200, 300_000])
  const counted = { delivered: 0, told: 0, slow: 0 }
  const encoder: Encoder = {
    size: ({ body }) => body.length + 1,
    write: ({ body }, into, at) => at + into.write(`${body.toString()}\n`, at),
    gap: () => (hasGaps ? Buffer.from(GAP) : undefined),
  }
  let flush = (): void => {}
  const fanOut = createFanOut({
    encoder,
    turn: { add: (one) => (flush = () => one.flush()), flush() {}, now: () => 0 },
    clock: { now: () => 0, monotonic: () => 0, after: () => () => {}, endOfTurn() {} },
    maxPendingBytes,
    events: {
      delivered: (deliveries) => void (counted.delivered += deliveries),
      slow: () => void counted.slow++,
      lost: (receivers) => void (counted.told += receivers),
      empty() {},
    },
  })
  const model = { here: new Set<Client>(), gone: new Set<Client>(), pending: [], slow: 0, told: 0 }
  return { fanOut, model, random, hasGaps, maxPendingBytes, counted, flush: () => flush() }
}

function depart({ model }: World, client: Client, why: string): void {
  client.expectedEnd ??= why
  model.here.delete(client)
  model.gone.add(client)
}

/** Gives it to one, or lets it go. False when it is let go. */
function give(world: World, client: Client, text: string): boolean {
  if (client.expected.length - client.taken > world.maxPendingBytes) {
    depart(world, client, 'evicted')
    world.model.slow++
    return false
  }
  if (client.expectedEnd === undefined) client.expected += text
  return true
}

function flushModel(world: World): void {
  const { model } = world
  for (const client of model.here) {
    const share = model.pending.filter(({ via }) => via?.some((name) => client.names?.has(name)) !== true)
    if (share.length > 0) give(world, client, share.map(({ body }) => `${body.toString()}\n`).join(''))
  }
  model.pending = []
}

function lose(world: World, via: readonly string[] | undefined): void {
  const { fanOut, model, hasGaps } = world
  fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 2 }, { topics: [TOPIC], patterns: [], ...(via && { via }) })
  flushModel(world)
  for (const client of model.here) {
    if (via?.some((name) => client.names?.has(name)) === true) continue
    if (!hasGaps) depart(world, client, 'gap: messages are lost; live is at e:2')
    if (!hasGaps || give(world, client, GAP)) model.told++
  }
}

let offset = 0
function happen(world: World): void {
  const { fanOut, model, random } = world
  const draw = random.next()
  const client = model.here.size === 0 ? undefined : random.pick([...model.here])
  if (draw < 0.35) {
    const size = random.next() < 0.05 ? 70_000 : random.below(12)
    const via = random.next() < 0.2 ? { via: [random.pick(NAMES)] } : {}
    const message: Message = { topic: TOPIC, body: Buffer.from(`${++offset}`.padEnd(size, 'x')), contentType: '', text: true, offset, epoch: 'e', time: 0, ...via }
    fanOut.deliver(message)
    model.pending.push(message)
  } else if (draw < 0.55) {
    world.flush()
    flushModel(world)
  } else if (draw < 0.8) {
    client?.take(random.pick([1, 5, 100, 1_000_000]))
  } else if (draw < 0.9) {
    const names = random.next() < 0.3 ? new Set([random.pick(NAMES)]) : undefined
    const newcomer = new Client(random.pick([undefined, 0, 8, 30]), names)
    fanOut.add(newcomer)
    flushModel(world)
    model.here.add(newcomer)
  } else if (draw < 0.94) {
    if (client === undefined) return
    fanOut.remove(client)
    depart(world, client, 'left')
  } else if (draw < 0.96) {
    // Says goodbye, and is there until the other side has.
    client?.close('goodbye')
    if (client !== undefined) client.expectedEnd ??= 'goodbye'
  } else if (draw < 0.98) {
    lose(world, random.next() < 0.3 ? [random.pick(NAMES)] : undefined)
  } else {
    fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 2 })
    flushModel(world)
    if (world.hasGaps) for (const one of model.here) give(world, one, GAP)
  }
}

test(`whoever is behind, and however it takes, each gets everything in order, and is let go when it would have been (${WORLDS} worlds from a seed)`, () => {
  const ends = new Map<string, number>()
  for (let seed = 1; seed <= WORLDS; seed++) {
    const world = createWorld(seed)
    const { fanOut, model } = world
    for (let step = 0; step < 120; step++) {
      happen(world)
      assert.equal(fanOut.count, model.here.size, `seed ${seed}, step ${step}`)
    }
    world.flush()
    flushModel(world)
    let messages = 0
    for (const client of [...model.here, ...model.gone]) {
      const { expectedEnd } = client
      for (let rounds = 0; rounds < 100 && client.pendingBytes > 0; rounds++) client.take(Infinity)
      if (expectedEnd === 'left' || expectedEnd === 'evicted') assert.ok(client.expected.startsWith(client.got), `seed ${seed}: one that went got something else`)
      else assert.equal(client.got, client.expected, `seed ${seed}`)
      if (expectedEnd !== 'left') assert.equal(client.ending, expectedEnd, `seed ${seed}`)
      if (model.gone.has(client)) assert.equal(client.arrears, undefined, `seed ${seed}: one that went is in debt still`)
      messages += client.messages
      ends.set(expectedEnd?.slice(0, 4) ?? 'here', (ends.get(expectedEnd?.slice(0, 4) ?? 'here') ?? 0) + 1)
    }
    assert.deepEqual(world.counted, { delivered: messages, told: model.told, slow: model.slow }, `seed ${seed}`)
  }
  // Worlds in which nothing of it happens keep every promise.
  for (const end of ['here', 'left', 'evic', 'good', 'gap:']) assert.ok((ends.get(end) ?? 0) > WORLDS / 4, `${end}: ${ends.get(end)}`)
})
