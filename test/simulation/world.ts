import { formatCursor, type Cursor } from '../../src/core/cursor.ts'
import { wants, type Interest } from '../../src/core/interest.ts'
import { topicToUrl, type Topic } from '../../src/core/topic.ts'
import type { Receipt } from '../../src/core/ports.ts'
import { createChance } from './chance.ts'
import type { Connection, Temper } from './connection.ts'
import type { Ledger, Loss, Publication, Session } from './ledger.ts'
import type { Breach } from './promises.ts'
import { drawPlan, type Plan } from './plan.ts'
import { ANYONE, createSite, type Site } from './site.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'
import { wires, type Heard, type Wire } from './wire.ts'

export type Parts = typeof import('./parts.ts')

/** Someone who connects, reads, leaves and comes back. */
export interface Client {
  readonly name: string
  readonly temper: Temper
  readonly wire: Wire
  stalled: boolean
  interest: Interest
  /** The last place that it was told of. */
  cursor: Cursor | undefined
  session: Session | undefined
  connection: Connection | undefined
}

/** One world: what stands in it, and what can happen in it. Every call is one step. */
export interface World {
  readonly plan: Plan
  readonly clock: VirtualClock
  readonly clients: readonly Client[]
  readonly ledger: Ledger
  readonly trace: readonly string[]
  readonly breaches: Breach[]
  /** The hub of now. */
  readonly site: Site
  /** Hubs of before, and the one of now. */
  readonly sites: readonly Site[]
  say(line: string): void
  /** Time has gone on, or a turn has ended: a step of the hub's own. */
  tick(): void
  publish(topic: Topic, bytes: number): void
  lose(lost: Interest): void
  connect(client: Client, after: Cursor | undefined): void
  leave(client: Client): void
  /** What the hub has to say to a client that reads on. */
  take(client: Client, bytes: number): void
  restart(how: 'stop' | 'crash'): void
}

export function createWorld(seed: number, parts: Parts): World {
  const plan = drawPlan(seed)
  const chance = createChance(seed, 'world')
  const fullness = createChance(seed, 'fullness')
  const clock = createVirtualClock()
  const ledger: Ledger = { publications: [], losses: [], sessions: [] }
  const trace: string[] = []
  const breaches: Breach[] = []
  const { webSocket, eventStream } = wires(parts)
  const sites: Site[] = []
  let site = start()
  let step = 0
  let longest = 0

  const clients = Array.from({ length: plan.clients }, (_, i): Client => ({
    name: `client ${i}`,
    temper: drawTemper(),
    wire: chance.odds(0.7) ? webSocket : eventStream,
    stalled: false,
    interest: chance.pick(plan.interests),
    cursor: undefined,
    session: undefined,
    connection: undefined,
  }))

  function drawTemper(): Temper {
    if (chance.odds(0.5)) return { kind: 'quick' }
    const [kind, bytes] = [chance.pick(['slow', 'moody'] as const), chance.pick([60, 400, 3_000, 100_000])]
    return { kind, bytes, enough: fullness.pick([undefined, 0, 300, 2_000, 65_536]) }
  }

  function start(): Site {
    const next = createSite(parts, plan, clock, createChance(seed, `site ${sites.length}`))
    sites.push(next)
    // Whoever hears of everything hears of losses in the order in which they came.
    next.hub.joinAll({ count: 0, takesLarge: true, deliver() {}, gap: (_, to) => announced(to) })
    return next
  }

  function say(line: string): void {
    trace.push(`${step} @${clock.monotonic()} ${line}`)
  }

  function publish(topic: Topic, bytes: number): void {
    step++
    const id = `m${ledger.publications.length}`
    const body = bodyOf(id, bytes, chance.odds(0.1))
    longest = Math.max(longest, body.length)
    const publication: Publication = {
      id, topic, body, epoch: site.hub.cursor.epoch, step, time: clock.monotonic(),
      outcome: 'open', offset: undefined, answeredStep: Infinity, answeredTime: Infinity, told: 0, receivers: receiversOf(topic),
    }
    ledger.publications.push(publication)
    say(`publish ${id} to ${topicToUrl(topic)}, ${body.length} bytes`)
    try {
      const receipt = site.hub.publish({ topic, body, contentType: 'text/plain', text: body.at(-1) !== 0xff }, ANYONE)
      if (receipt instanceof Promise) receipt.then((later) => answered(publication, later), () => refused(publication))
      else answered(publication, receipt)
    } catch {
      refused(publication)
    }
  }

  function lose(lost: Interest): void {
    step++
    const id = `l${ledger.losses.length}`
    ledger.losses.push({ id, lost, epoch: site.hub.cursor.epoch, step, offset: undefined, announcedStep: Infinity })
    say(`${id} is lost: ${[...lost.topics.map(topicToUrl), ...lost.patterns.map(({ source }) => source)].join(' ')}`)
    site.hub.lose(lost)
  }

  function announced(at: Cursor): void {
    const loss = ledger.losses.find((one) => one.epoch === at.epoch && one.offset === undefined) as Loss
    loss.offset = at.offset
    loss.announcedStep = step
    say(`${loss.id} is ${formatCursor(at)}`)
  }

  /** Everyone connected who wants it, where the answer comes in the same breath. */
  function receiversOf(topic: Topic): string[] | undefined {
    if (plan.pace.append !== 'at once') return undefined
    return clients.filter(({ session, connection }) => connection?.ending === false && wants((session as Session).interest, topic)).map(({ name }) => name)
  }

  function answered(publication: Publication, { message, subscribers }: Receipt): void {
    const { offset, epoch } = message
    Object.assign(publication, { outcome: 'taken', offset, epoch, told: subscribers, answeredStep: step, answeredTime: clock.monotonic() })
    say(`${publication.id} is ${epoch}:${offset}, for ${subscribers}`)
  }

  function refused(publication: Publication): void {
    publication.outcome = 'refused'
    say(`${publication.id} is refused`)
  }

  function connect(client: Client, after: Cursor | undefined): void {
    step++
    const { interest, wire, temper } = client
    const session: Session = {
      name: client.name, interest, after, epoch: site.hub.cursor.epoch, step, time: clock.monotonic(),
      slow: temper.kind !== 'quick', got: [], ended: undefined,
    }
    const sources = [...interest.topics.map(topicToUrl), ...interest.patterns.map((pattern) => pattern.source)]
    say(`${client.name} (${temper.kind}) connects ${after === undefined ? 'anew' : `after ${formatCursor(after)}`} for ${sources.join(' ')}`)
    const read = wire.reader()
    const connection = site.connect({ interest, after, wire, temper }, {
      bytes(chunk) {
        for (const heard of read(chunk)) hear(client, session, heard)
      },
      closed(reason) {
        session.ended = reason === undefined ? { by: 'client', reason: 'left' } : { by: 'hub', reason }
        client.session = client.connection = undefined
        say(`${client.name} is closed: ${session.ended.reason}`)
      },
      waited: (before, during, late) => checkBounds(client, before, during, late),
    })
    if (connection === undefined) return say(`${client.name} is turned away`)
    ledger.sessions.push(session)
    client.session = session
    client.connection = connection
  }

  function hear(client: Client, session: Session, heard: Heard): void {
    session.got.push({ ...heard, step, time: clock.monotonic() })
    client.cursor = heard.kind === 'gap' ? heard.to : heard.at
    if (heard.kind === 'gap') say(`${client.name} has a gap ${formatCursor(heard.from)} to ${formatCursor(heard.to)}`)
    else say(`${client.name} has ${heard.kind} ${formatCursor(heard.at)}`)
  }

  /**
   * A catch-up writes in batches of 64 KiB and the message that fills them, encoded, and waits before each until half of
   * the bound is free; a gap comes with what there is of a batch.
   */
  function checkBounds(client: Client, before: number, during: 'write' | 'eviction', late: boolean): void {
    const { maxPendingBytes } = plan
    const bound = late ? maxPendingBytes / 2 + 65_536 + 1.4 * longest + 512 : maxPendingBytes
    const about = [client.name]
    if (during === 'write' && before > bound) breaches.push({ promise: 'waiting bytes are bounded', detail: `${before} bytes waited for ${client.name} when more was written`, about, step })
    if (during === 'eviction' && before <= maxPendingBytes) breaches.push({ promise: 'only slow ones are let go', detail: `${client.name} was let go with ${before} bytes waiting`, about, step })
  }

  return {
    plan, clock, clients, ledger, trace, breaches, sites, say, publish, lose, connect,
    get site() { return site },
    tick() {
      step++
      for (const { connection } of clients) connection?.look()
    },
    leave(client) {
      step++
      say(`${client.name} leaves`)
      client.connection?.cut()
    },
    take(client, bytes) {
      step++
      client.connection?.take(bytes)
    },
    restart(how) {
      step++
      say(`the hub has a ${how}`)
      const old = site
      site = start()
      old[how]()
    },
  }
}

/** The id, a blank, and filling: line ends in some, and an end that is no UTF-8 in others. */
function bodyOf(id: string, bytes: number, binary: boolean): Buffer {
  const filling = id.endsWith('7') ? 'two\nlines ' : 'fill '
  const text = `${id} `.padEnd(bytes, filling)
  return binary ? Buffer.concat([Buffer.from(text), Buffer.of(0xff)]) : Buffer.from(text)
}
