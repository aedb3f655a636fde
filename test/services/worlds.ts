import { duplexPair } from 'node:stream'
import { limitsWith } from '../../src/core/limits.ts'
import type { Clock } from '../../src/core/ports.ts'
import { judge } from '../../src/protocol/erps/judge.ts'
import { errorText, splitCall, TERM, tuple2, writeText } from '../../src/protocol/erps/payload.ts'
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
  /** When it has to be over: the clock goes by steps. */
  outcome: Outcome['kind'] | 'given up' | undefined
}

const GAP = 20
const LIMITS = limitsWith({ maxCallsPerConnection: 6, maxServicePendingBytes: 3_000, writeTimeout: 200, packetTimeout: 300, serviceKeepalive: 60, serviceDeadline: 200 })
/** The shortest and longest deadlines of calls, in ms. */
const DEADLINES = [10, 400] as const

/**
 * A caller that connects again and again, and somebody who answers: a Waystation, or an original that loses packets when they
 * come too close. By the seed he answers late, twice, wrongly or not at all, reads slowly, sends garbage, and cuts.
 */
export async function playServices(seed: number): Promise<Played> {
  const random = createSeededRandom(seed)
  const clock = createManualClock()
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

  function connect(): { readonly connection: Connection; readonly caller: ReturnType<typeof createCaller>; readonly raw: Raw; readonly asked: Buffer[]; ended: number } {
    const [near, far] = duplexPair()
    const own = openRaw(far, clock)
    const asked: Buffer[] = []
    const connection = openConnection({
      stream: near, role: 'connector', peer: PEER, brake, clock: clock satisfies Clock, limits: LIMITS,
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
      const said = own.extensions().at(-1)
      if (said?.kind === 'hello' && isWaystation) own.send('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: Buffer.alloc(16, 1) })
      if (packet.type !== 'call') return
      const referred = splitCall(packet.payload.subarray(TERM.length, said === undefined ? undefined : callEnd(packet.payload)))
      if (referred === undefined) return fail('a call that is none')
      const text = errorText(referred.term) as string
      if (done.has(text)) fail(`${text} has come twice`)
      done.add(text)
      asked.push(referred.ref, referred.term)
    }
    const made = { connection, caller, raw: own, asked, ended: 0 }
    return made
  }

  function call(): void {
    const one: Call = { text: `call ${calls.length}`, until: clock.monotonic() + DEADLINES[0] + random.below(DEADLINES[1] - DEADLINES[0]), outcome: undefined }
    calls.push(one)
    let hasReturned = false
    const size = random.next() < 0.1 ? 900 : 0
    const giveUp = link.caller.call({ request: writeText(one.text.padEnd(size)), deadline: one.until - clock.monotonic() }, (outcome) => {
      if (!hasReturned) fail(`${one.text} was settled before it was made`)
      if (one.outcome !== undefined) return fail(`${one.text} is ${outcome.kind} after it was ${one.outcome}`)
      one.outcome = outcome.kind
      outcomes[outcome.kind]++
      if (outcome.kind === 'answer' && errorText(outcome.term)?.trim() !== `re ${one.text}`) fail(`${one.text} was answered by ${errorText(outcome.term)}`)
      if (outcome.kind === 'unsent' && [...done].some((text) => text.trim() === one.text)) fail(`${one.text} counts as unsent and has come`)
    })
    hasReturned = true
    if (random.next() < 0.1) {
      one.outcome = 'given up'
      giveUp()
    }
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

  function mischief(): void {
    const { raw, connection } = link
    switch (random.below(9)) {
      case 0: return raw.write(Buffer.from('junk'))
      case 1: return raw.write(bytesOf('reply', [TERM, writeText('x')]).subarray(0, random.below(100)))
      case 2: return void raw.stream.destroy()
      case 3: return void raw.stream.end()
      case 4: return raw.send('error', [TERM, writeText(random.pick(['wrong identifier', 'filtered']))])
      case 5: return raw.send('push', [TERM, Buffer.of(118)])
      case 6: return raw.send('reply', tuple2(writeText('re call 0'), Buffer.of(97, 200)))
      case 7: return connection.drop('revoked', 'mischief')
      default: return raw.send('call', tuple2(Buffer.of(97, 1), NIL))
    }
  }

  async function step(): Promise<void> {
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
      await clock.settle()
      clock.advance(random.pick([5, 10, 20, 60]))
    }
  }

  function check(): void {
    const now = clock.monotonic()
    for (const { text, until, outcome } of calls) if (outcome === undefined && now > until + 100) fail(`${text} is not settled`)
    if (link.ended > 1) fail('its end was told twice')
    if (link.connection.isOver && link.ended !== 1) fail('its end was not told')
    if (brake.gap === 0 || isWaystation) return
    let last = -Infinity
    for (const { at, bytes } of link.raw.chunks) {
      if (at - last < brake.gap) fail(`an original got packets ${at - last} ms apart`)
      if (bytes.readUInt32BE(4) !== (bytes.length > 9 ? bytes.length - HEAD.bytes.length : 0)) fail('an original got a write that is not one packet')
      last = at
    }
  }

  const steps = 10 + random.below(15)
  for (let at = 0; at < steps && breach === undefined; at++) {
    await step()
    check()
  }
  await clock.settle()
  for (let waited = 0; waited < DEADLINES[1] + 100; waited += 100) {
    clock.advance(100)
    check()
  }
  await clock.settle()
  for (const { text, outcome } of calls) if (outcome === undefined) fail(`${text} has no end`)
  link.connection.drop('stopped', 'the end')
  link.raw.stream.destroy()
  if (clock.timers > 0 && breach === undefined) await clock.settle()
  clock.advance(2_000)
  if (clock.timers > 0) fail(`${clock.timers} timers are left`)
  return { breach, outcomes }
}

/** Where the term of a call of these worlds ends: its request is a text. */
function callEnd(payload: Buffer): number {
  const textAt = payload.indexOf(109, 3) + 1
  return textAt + 4 + payload.readUInt32BE(textAt)
}
