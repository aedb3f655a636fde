import { hash } from 'node:crypto'
import { claims } from '../../../../src/protocol/lonelyps/claims.ts'
import { bytesOf, createModelSocket, matches, type Door, type ModelSocket, type Stream, type Verdict } from './model-socket.ts'
import { ENTRY_BYTES, LOCKED, PRESET, SHARES, type Plan } from './plan.ts'
import type { Answer, Kind, Packed, Proof, Said, Unasked } from './said.ts'
import type { Fate, Moods } from './world.ts'

const NONE = Buffer.alloc(0)

export interface Model {
  readonly sockets: readonly ModelSocket[]
  connect(name: string): ModelSocket
  receive(socket: ModelSocket, said: Said): void
  /** Connections that broke, beside those that were closed. */
  broken: number
  gone(socket: ModelSocket): void
  /** The hub is told to close it, or may have closed it by itself. */
  end(socket: ModelSocket, why: string): void
  publish(topic: Buffer, body: Buffer): number
  missed(topic: Buffer): void
  unstall(socket: ModelSocket): void
  /** Webhooks that could not say what they did. */
  readonly refusals: number
  /** Doors that are waited for. */
  readonly doors: readonly { readonly door: Door; readonly number: number }[]
  open(door: Door, number: number, outcome: number | boolean | 'refused'): void
  audience(topic: Buffer): number
}

export function createModel(plan: Plan, moods: Moods, fates: ReadonlyMap<string, Fate>, now: () => number): Model {
  const { limits } = plan
  const sockets: ModelSocket[] = []
  const asked = { remember: 0, webhooks: 0, disk: 0, registry: 0 }
  const waiting = new Map<string, { door: Door; number: number; go: (outcome: number | boolean | 'refused') => void }>()
  const known = new Set<string>()
  /** What was said of signatures whose frames wait for others. */
  const early = new Map<number, boolean>()
  let [offset, refusals] = [0, 0]

  function ask(door: Door, go: (outcome: number | boolean | 'refused') => void): void {
    const number = asked[door]++
    wait(door, number, go)
  }

  function wait(door: Door, number: number, go: (outcome: number | boolean | 'refused') => void): void {
    waiting.set(`${door} ${number}`, { door, number, go })
  }

  /** What the proof of a frame is worth; said once for each, in the order in which they are looked at. */
  function worth({ right, mac }: Proof): Verdict {
    if (plan.toBroadcasters.type === 'none') return 'ok'
    if (!right) return 'no'
    if (mac === undefined) return 'ok'
    if (known.has(mac)) return 'no'
    known.add(mac)
    const fate = fates.get(mac)
    if (fate !== 'slow') return fate === 'new' ? 'ok' : 'no'
    const door = asked.remember++
    // Until the frame's turn has come the outcome is kept.
    wait('remember', door, (outcome) => void early.set(door, outcome === true))
    return { door }
  }

  function end(socket: ModelSocket, why: string): void {
    const { phase } = socket
    if (phase === 'over') return
    socket.phase = 'over'
    if (phase !== 'leaving') socket.closed = why
    socket.joined.clear()
    socket.reserved = []
    socket.stream = undefined
  }

  function run(socket: ModelSocket): void {
    while (!socket.blocked && socket.queue.length > 0 && socket.phase !== 'over') begin(socket, socket.queue.shift() as ModelSocket['queue'][number])
    if (!socket.blocked && socket.phase === 'leaving') end(socket, 'it has gone')
    look(socket)
  }

  /** More is read while there is not too much to do, and the other side reads, too. */
  function look(socket: ModelSocket): void {
    const { queue, answers, released, stalled } = socket
    socket.paused = queue.length + answers.length - released >= limits.maxUnanswered || stalled
  }

  function block(socket: ModelSocket, door: Door, number: number, go: () => void): void {
    socket.blocked = true
    wait(door, number, (outcome) => {
      socket.blocked = false
      // What waited for its turn when the socket was closed is not done.
      if (socket.phase === 'over' && door === 'remember') return
      if (outcome === true) go()
      else end(socket, `${door} ${outcome}`)
      // What waits for the next thing is still the same step.
      if (!socket.blocked) run(socket)
    })
  }

  function begin(socket: ModelSocket, { said, verdict }: ModelSocket['queue'][number]): void {
    if (said.is === 'wrong') return end(socket, 'a wrong frame')
    if (!socket.confirmed && said.is !== 'configure') return end(socket, `${said.is} before CONFIGURE`)
    const found = verdict ?? worth(said.proof)
    if (found === 'no') return end(socket, `${said.is} is not proved`)
    if (found === 'ok') return act(socket, said)
    const outcome = early.get(found.door)
    if (outcome === undefined) return block(socket, 'remember', found.door, () => act(socket, said))
    if (outcome) act(socket, said)
    else end(socket, `${said.is} was remembered`)
  }

  function act(socket: ModelSocket, said: Said): void {
    switch (said.is) {
      case 'wrong': return
      case 'configure': return configure(socket, said)
      case 'subscribe': return subscribe(socket, said.kind, said.target, said.proof.url)
      case 'unsubscribe': return unsubscribe(socket, said.kind, said.target, said.proof.url)
      case 'notify': return notify(socket, said.identifier, said.packed, answerTo(socket, 'confirm_notify', said.identifier), 'one')
      case 'part': return part(socket, said)
      case 'ack': return acknowledged(socket, said.identifier, said.part)
      default: return said satisfies never
    }
  }

  function configure(socket: ModelSocket, { zstd, initial }: Extract<Said, { is: 'configure' }>): void {
    if (socket.confirmed) return end(socket, 'a second CONFIGURE')
    if (socket.phase !== 'greeting') return
    const agreed = zstd && plan.compression !== 'no'
    if (agreed && initial > 1 && initial !== PRESET.id) return end(socket, 'an unknown dictionary')
    socket.confirmed = true
    socket.phase = 'open'
    socket.progressAt = now()
    if (!agreed) return
    say(socket, { kind: 'enable', compressor: 1, minSize: limits.compressionTrainedMaxSize })
    if (initial === PRESET.id) say(socket, { kind: 'enable', compressor: PRESET.id, minSize: limits.compressionMinSize })
  }

  function answerTo(socket: ModelSocket, type: string, subject: Buffer): Answer {
    const answer: Answer = { type, subject, part: undefined, count: undefined, claim: undefined, ready: false, effect: undefined }
    socket.answers.push(answer)
    return answer
  }

  function fill(socket: ModelSocket, answer: Answer): void {
    if (socket.phase === 'over') return
    answer.ready = true
    while (socket.answers[socket.released]?.ready === true) {
      const { effect } = socket.answers[socket.released++] as Answer
      if (socket.phase === 'open') effect?.()
      look(socket)
    }
  }

  function confirmation(kind: Kind, target: Buffer, url: string): Answer['claim'] {
    return kind === 'exact' ? claims.confirmSubscribeExact({ url, recovery: undefined, topic: target, tracing: NONE }) : claims.confirmSubscribeGlob({ url, recovery: undefined, glob: target, tracing: NONE })
  }

  function subscribe(socket: ModelSocket, kind: Kind, target: Buffer, url: string): void {
    const answer = answerTo(socket, `confirm_subscribe_${kind}`, target)
    const place = socket.answers.length
    const key = `${kind} ${target.toString('hex')}`
    if (socket.own.has(key)) return end(socket, 'subscribed twice')
    if (socket.own.size >= limits.maxSocketSubscriptions) return end(socket, 'too many subscriptions')
    if (kind === 'glob' && target.length > limits.maxGlobBytes) return end(socket, 'a long glob')
    if (kind === 'glob' && isOneMore(key)) return end(socket, 'too many globs')
    if (plan.locked === 'both' && (kind === 'exact' ? target.equals(LOCKED) : /^[*?]/.test(target.toString()))) return end(socket, 'a rule')
    socket.own.add(key)
    socket.reserved.push(key)
    answer.claim = confirmation(kind, target, url)
    answer.effect = () => void socket.joined.set(key, { kind, target, answer: place })
    const go = (): void => fill(socket, answer)
    if (plan.relaying === 'none' || moods.registry === 'quick') return go()
    if (moods.registry === 'down') return end(socket, 'the registry is down')
    block(socket, 'registry', asked.registry++, go)
  }

  function isOneMore(key: string): boolean {
    const globs = new Set(sockets.flatMap(({ reserved }) => reserved).filter((other) => other.startsWith('glob')))
    return !globs.has(key) && globs.size >= limits.maxSocketGlobs
  }

  function unsubscribe(socket: ModelSocket, kind: Kind, target: Buffer, url: string): void {
    const key = `${kind} ${target.toString('hex')}`
    if (!socket.own.delete(key)) return end(socket, 'not subscribed')
    const answer = answerTo(socket, `confirm_unsubscribe_${kind}`, target)
    answer.claim = confirmation(kind, target, url)
    answer.effect = () => {
      socket.joined.delete(key)
      socket.reserved.splice(socket.reserved.indexOf(key), 1)
    }
    fill(socket, answer)
  }

  function notify(socket: ModelSocket, identifier: Buffer, packed: Packed, answer: Answer, came: 'one' | 'parts'): void {
    const { topic, compressor, plain, good, sha512 } = packed
    if (topic.equals(LOCKED)) return end(socket, 'a rule')
    if (compressor !== 0 && !canRead(socket, compressor)) return end(socket, 'an unknown compressor')
    if (!good) return end(socket, 'lies about a message')
    const go = (): void => {
      const count = publish(topic, plain)
      const answered = (more: number): void => {
        const subscribers = count + more
        answer.count = subscribers
        answer.claim = claims.confirmNotify({ identifier, subscribers, topic, sha512: came === 'one' ? hash('sha512', plain, 'buffer') : sha512, tracing: NONE })
        fill(socket, answer)
      }
      if (moods.webhooks !== 'slow') return answered(moods.webhooks)
      ask('webhooks', (outcome) => {
        if (typeof outcome === 'number') return answered(outcome)
        refusals++
        end(socket, 'the webhooks')
      })
    }
    if (came === 'one' && plain.length > limits.spoolAbove) toDisk(socket, go)
    else go()
  }

  function toDisk(socket: ModelSocket, go: () => void): void {
    if (moods.disk === 'full') return end(socket, 'the disk is full')
    if (moods.disk === 'slow') block(socket, 'disk', asked.disk++, go)
    else go()
  }

  function canRead(socket: ModelSocket, compressor: number): boolean {
    return socket.unasked.some((one) => one.kind === 'enable' && one.compressor === compressor)
  }

  function part(socket: ModelSocket, said: Extract<Said, { is: 'part' }>): void {
    const answer = answerTo(socket, 'confirm_notify', said.identifier)
    const into = (stream: Stream): void => {
      if (socket.phase === 'over') return
      if (!stream.identifier.equals(said.identifier)) return end(socket, 'two streams at once')
      if (said.part !== stream.parts) return end(socket, 'another part')
      stream.parts++
      stream.size += said.size
      if (stream.size > stream.packed.length) return end(socket, 'too long')
      if (stream.size === stream.packed.length) {
        socket.stream = undefined
        return notify(socket, said.identifier, stream.packed, answer, 'parts')
      }
      Object.assign(answer, { type: 'continue_notify', part: said.part, claim: claims.continueNotify({ identifier: said.identifier, part: said.part, tracing: NONE }) })
      fill(socket, answer)
    }
    if (socket.stream !== undefined) return into(socket.stream)
    const { packed, identifier } = said
    if (packed === undefined) return end(socket, 'a part without a beginning')
    if (packed.compressor !== 0 && packed.length === 0) return end(socket, 'nothing, compressed')
    const stream = { identifier, packed, size: 0, parts: 0 }
    socket.stream = stream
    if (packed.length > limits.spoolAbove) toDisk(socket, () => into(stream))
    else into(stream)
  }

  function acknowledged(socket: ModelSocket, identifier: Buffer, part: number | undefined): void {
    const first = socket.awaited[0]
    if (first === undefined) return end(socket, 'acknowledged what was not sent')
    if (!first.identifier.equals(identifier) || part !== (first.isLast ? undefined : first.part)) return end(socket, 'acknowledged another part')
    socket.awaited.shift()
    socket.flying--
    socket.progressAt = now()
    pump(socket)
  }

  function publish(topic: Buffer, body: Buffer): number {
    offset++
    let count = 0
    for (const socket of sockets) {
      const wanted = [...socket.joined.values()].filter(({ kind, target }) => matches(kind, target, topic))
      if (wanted.length === 0) continue
      count++
      const bytes = bytesOf(socket)
      const more = 2 * (body.length > limits.spoolAbove ? 0 : body.length) + ENTRY_BYTES
      if (socket.row.length >= limits.maxSocketQueue || (bytes > 0 && bytes + more > limits.maxSocketBytes / SHARES)) end(socket, 'too slow')
      else {
        socket.unasked.push({ kind: 'message', topic, body, offset, after: Math.min(...wanted.map(({ answer }) => answer)) })
        socket.row.push({ is: 'message', bytes: more })
        pump(socket)
      }
    }
    return count
  }

  function say(socket: ModelSocket, what: Unasked, bytes = 0): void {
    socket.unasked.push(what)
    socket.row.push(what.kind === 'missed' ? { is: 'said', bytes, missed: what.topic } : { is: 'said', bytes })
    pump(socket)
  }

  function tellMissed(socket: ModelSocket, topic: Buffer): void {
    const [bytes, more] = [bytesOf(socket), 2 * topic.length + ENTRY_BYTES]
    if (bytes > 0 && bytes + more > limits.maxSocketBytes / SHARES) end(socket, 'too slow')
    else say(socket, { kind: 'missed', topic }, more)
  }

  /** What no longer waits, where each message is one part. */
  function pump(socket: ModelSocket): void {
    const most = limits.maxUnacknowledged === 0 ? Infinity : limits.maxUnacknowledged
    while (!socket.held && socket.row.length > 0) {
      const isMessage = socket.row[0]?.is === 'message'
      if (isMessage && socket.flying >= most) return
      if (socket.stalled) {
        socket.held = true
        return
      }
      if (isMessage) socket.flying++
      socket.row.shift()
    }
  }

  return {
    sockets,
    broken: 0,
    connect(name) {
      const socket = createModelSocket(name, now())
      sockets.push(socket)
      return socket
    },
    receive(socket, said) {
      if (socket.phase !== 'greeting' && socket.phase !== 'open') return
      // What comes behind frames of the handshake is read after them.
      const isRead = socket.confirmed && !socket.queue.some((one) => !one.isRead)
      const verdict = isRead && said.is !== 'wrong' ? worth(said.proof) : undefined
      socket.queue.push({ said, verdict, isRead })
      run(socket)
    },
    gone(socket) {
      if (socket.phase !== 'greeting' && socket.phase !== 'open') return
      socket.phase = 'leaving'
      socket.joined.clear()
      socket.reserved = []
      run(socket)
    },
    end,
    publish,
    missed(topic) {
      for (const socket of sockets) {
        if (![...socket.joined.values()].some(({ kind, target }) => matches(kind, target, topic))) continue
        if (socket.row.length >= limits.maxSocketQueue) end(socket, 'too slow')
        // One that waits says the same.
        else if (!socket.row.some((one) => one.missed?.equals(topic) === true)) tellMissed(socket, topic)
      }
    },
    unstall(socket) {
      socket.stalled = false
      socket.held = false
      pump(socket)
      look(socket)
    },
    get refusals() { return refusals },
    get doors() { return [...waiting.values()] },
    open(door, number, outcome) {
      const key = `${door} ${number}`
      const one = waiting.get(key)
      waiting.delete(key)
      one?.go(outcome)
    },
    audience: (topic) => sockets.filter(({ joined }) => [...joined.values()].some(({ kind, target }) => matches(kind, target, topic))).length,
  }
}
