import { duplexPair } from 'node:stream'
import { limitsWith } from '../../src/core/limits.ts'
import type { Clock } from '../../src/core/ports.ts'
import { judge } from '../../src/protocol/erps/judge.ts'
import { errorText, openPayload, readRef, splitCall, TERM, tuple2, writeRef, writeText } from '../../src/protocol/erps/payload.ts'
import { createCaller } from '../../src/services/caller.ts'
import { openConnection } from '../../src/services/connection.ts'
import type { Connection, Outcome } from '../../src/services/ports.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { bytesOf, HEAD, NIL, openRaw, PEER, type Raw } from '../support/services.ts'

/** What was promised and not kept, or `undefined`; and what has happened, so that nobody takes an empty world for a good one. */
export interface Played {
  readonly breach: string | undefined
  readonly outcomes: Readonly<Record<Outcome['kind'], number>>
}

interface Call {
  readonly text: string
  readonly until: number
  outcome: Outcome['kind'] | 'given up' | undefined
}

interface Write {
  readonly at: number
  readonly bytes: Buffer
}

const CALL = 'call '
const GUESS = 'guess'
const GAP = 20
const LIMITS = limitsWith({ maxCallsPerConnection: 6, maxServicePendingBytes: 3_000, writeTimeout: 200, packetTimeout: 300, serviceKeepalive: 60, serviceDeadline: 200 })
/** The shortest and longest deadlines of calls, in ms. */
const DEADLINES = [10, 400] as const

/**
 * A caller that connects again and again, and somebody who answers: a Waystation, or an original that loses packets when they
 * come too close. By the seed he answers late, twice, wrongly or not at all, reads slowly, sends garbage, and cuts.
 */
function* play(seed: number): Generator<void, Played> {
  const random = createSeededRandom(seed)
  const manual = createManualClock()
  let turns = 0
  const clock: Clock = {
    ...manual,
    endOfTurn(fn) {
      turns++
      manual.endOfTurn(() => {
        turns--
        fn()
      })
    },
  }
  const isWaystation = random.next() < 0.5
  const brake = random.next() < 0.7 ? { gap: GAP, calls: random.pick(['one', 'many'] as const) } : { gap: 0, calls: 'many' as const }
  const calls: Call[] = []
  const outcomes = { answer: 0, failed: 0, lost: 0, unsent: 0, deadline: 0 }
  const done = new Set<string>()
  let breach: string | undefined
  let link = connect()

  function fail(why: string): void {
    breach ??= `${why}, at ${clock.monotonic()}`
  }

  function connect(): { readonly connection: Connection; readonly caller: ReturnType<typeof createCaller>; readonly raw: Raw; readonly asked: Buffer[]; readonly came: ReadonlySet<number | undefined>; readonly writes: readonly Write[]; checked: number; ended: number } {
    const [near, far] = duplexPair()
    const own = openRaw(far, manual)
    const writes: Write[] = []
    const write = near.write.bind(near) as (bytes: Buffer, then: () => void) => boolean
    near.write = ((bytes: Buffer, then: () => void) => {
      writes.push({ at: clock.monotonic(), bytes })
      return write(bytes, then)
    }) as typeof near.write
    const asked: Buffer[] = []
    const came = new Set<number | undefined>()
    const connection = openConnection({
      stream: near, role: 'connector', peer: PEER, brake, clock, limits: LIMITS,
      sender: { version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) },
      judge: (packet) => judge(packet, { signed: 'refused' }),
      decode: {},
      randomBytes: (size) => Buffer.alloc(size, seed),
    }, {
      packet: (packet, extension) => caller.packet(packet, extension),
      ended(why, detail) {
        made.ended++
        caller.ended(why, detail)
      },
    })
    const caller = createCaller(connection, { clock, limits: LIMITS })
    own.heard = (packet) => {
      const said = packet.payload.length === 0 ? undefined : openPayload(packet.payload, {}).extension
      if (said?.kind === 'hello' && isWaystation) own.send('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: Buffer.alloc(16, 1) })
      if (packet.type !== 'call') return
      const referred = splitCall(packet.payload.subarray(TERM.length, said === undefined ? undefined : callEnd(packet.payload)))
      if (referred === undefined) return fail('a call that is none')
      const text = errorText(referred.term)?.trim() as string
      if (done.has(text)) fail(`${text} has come twice`)
      if (calls[Number(text.slice(CALL.length))]?.outcome === 'unsent') fail(`${text} counts as unsent and comes`)
      done.add(text)
      came.add(readRef(referred.ref))
      asked.push(referred.ref, referred.term)
    }
    const made = { connection, caller, raw: own, asked, came, writes, checked: 0, ended: 0 }
    return made
  }

  function call(): void {
    const one: Call = { text: `${CALL}${String(calls.length).padStart(2, '0')}`, until: clock.monotonic() + DEADLINES[0] + random.below(DEADLINES[1] - DEADLINES[0]), outcome: undefined }
    calls.push(one)
    let hasReturned = false
    const size = random.next() < 0.1 ? 900 : 0
    const giveUp = link.caller.call({ request: writeText(one.text.padEnd(size)), deadline: one.until - clock.monotonic() }, (outcome) => {
      if (!hasReturned) fail(`${one.text} was settled before it was made`)
      if (one.outcome !== undefined) return fail(`${one.text} is ${outcome.kind} after it was ${one.outcome}`)
      one.outcome = outcome.kind
      outcomes[outcome.kind]++
      if (outcome.kind === 'answer') judgeAnswer(one.text, errorText(outcome.term)?.trim())
      if (outcome.kind === 'unsent' && done.has(one.text)) fail(`${one.text} counts as unsent and has come`)
    })
    hasReturned = true
    if (random.next() < 0.1) {
      one.outcome = 'given up'
      giveUp()
    }
  }

  function judgeAnswer(call: string, text: string | undefined): void {
    // Whoever guesses the ref of a call that is on its way to him does so in his own right.
    if (text === GUESS && link.writes.some(({ bytes }) => bytes.includes(call))) return
    if (text !== `re ${call}`) fail(`${call} was answered by ${text}`)
  }

  /** Answers one of those that were asked, perhaps not for the first time. */
  function answer(): void {
    const { asked, raw } = link
    if (asked.length === 0) return
    const at = 2 * random.below(asked.length / 2)
    const [ref, request] = [asked[at] as Buffer, asked[at + 1] as Buffer]
    const text = writeText(`re ${errorText(request)}`)
    if (random.next() < 0.15) raw.send('error', tuple2(writeText('call_failed'), ref))
    else raw.send('reply', tuple2(text, ref))
    if (random.next() < 0.8) asked.splice(at, 2)
  }

  /** Answers a call that has not come. */
  function guess(): void {
    const ref = random.below(8)
    if (!link.came.has(ref)) link.raw.send('reply', tuple2(writeText(GUESS), writeRef(ref)))
  }

  function mischief(): void {
    const { raw, connection, caller } = link
    switch (random.below(10)) {
      case 0: return raw.write(Buffer.from('junk'))
      case 1: return raw.write(bytesOf('reply', [TERM, writeText('x')]).subarray(0, random.below(100)))
      case 2: return void raw.stream.destroy()
      case 3: return void raw.stream.end()
      case 4: return raw.send('error', [TERM, writeText(random.pick(['wrong identifier', 'filtered']))])
      case 5: return raw.send('push', [TERM, random.pick([NIL, Buffer.of(118)])])
      case 6: return guess()
      case 7: return connection.drop('revoked', 'mischief')
      // As a client does that is told to disconnect.
      case 8: {
        caller.ended('stopped', 'mischief')
        return void connection.close(new AbortController().signal)
      }
      default: return raw.send('call', tuple2(Buffer.of(97, 1), NIL))
    }
  }

  /** Lets the streams run, and turns end, until nothing but time is waited for. */
  function* settle(): Generator<void, void> {
    for (;;) {
      yield
      if (turns === 0) return
      manual.endTurn()
    }
  }

  function* step(): Generator<void, void> {
    const dice = random.next()
    if (dice < 0.4) call()
    else if (dice < 0.65) answer()
    else if (dice < 0.72) link.caller.cast(writeText('cast'))
    else if (dice < 0.77) link.raw.stream.pause()
    else if (dice < 0.85) link.raw.stream.resume()
    else if (dice < 0.9) mischief()
    else if (link.connection.isOver) {
      check()
      link = connect()
    }
    if (random.next() < 0.6) {
      yield* settle()
      manual.advance(random.pick([5, 10, 20, 60]))
    }
  }

  function check(): void {
    const now = clock.monotonic()
    for (const { text, until, outcome } of calls) if (outcome === undefined && now > until + 100) fail(`${text} is not settled`)
    if (link.ended > 1) fail('its end was told twice')
    if (link.connection.isOver && link.ended !== 1) fail('its end was not told')
    if (brake.gap === 0 || isWaystation) return
    for (; link.checked < link.writes.length; link.checked++) {
      const { at, bytes } = link.writes[link.checked] as Write
      const last = link.writes[link.checked - 1]?.at ?? -Infinity
      if (at - last < brake.gap) fail(`an original got packets ${at - last} ms apart`)
      if (bytes.readUInt32BE(4) !== (bytes.length > 9 ? bytes.length - HEAD.bytes.length : 0)) fail('an original got a write that is not one packet')
    }
  }

  const steps = 8 + random.below(12)
  for (let at = 0; at < steps && breach === undefined; at++) {
    yield* step()
    check()
  }
  yield* settle()
  for (let waited = 0; waited < DEADLINES[1] + 100; waited += 100) {
    manual.advance(100)
    check()
  }
  yield* settle()
  for (const { text, outcome } of calls) if (outcome === undefined) fail(`${text} has no end`)
  link.connection.drop('stopped', 'the end')
  link.raw.stream.destroy()
  if (manual.timers > 0 && breach === undefined) yield* settle()
  manual.advance(2_000)
  if (manual.timers > 0) fail(`${manual.timers} timers are left`)
  return { breach, outcomes }
}

/** Plays a world for each seed, side by side: they wait for the same turns of the event loop. */
export async function playServices(seeds: readonly number[]): Promise<Played[]> {
  const played: Played[] = []
  let running = seeds.map((seed, at) => ({ at, world: play(seed) }))
  while (running.length > 0) {
    await new Promise((resolve) => setImmediate(resolve))
    running = running.filter(({ at, world }) => {
      const { done, value } = world.next()
      if (done === true) played[at] = value
      return done !== true
    })
  }
  return played
}

/** Where the term of a call of these worlds ends: its request is a text. */
function callEnd(payload: Buffer): number {
  const textAt = payload.indexOf(109, 3) + 1
  return textAt + 4 + payload.readUInt32BE(textAt)
}
