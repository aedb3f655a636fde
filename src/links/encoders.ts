import type { Cursor } from '../core/cursor.ts'
import type { Encoder } from '../core/fan-out.ts'
import type { Interest } from '../core/interest.ts'
import { cursorOf, type LostInterest, type Message } from '../core/message.ts'
import { overlapOf, type Overlap } from '../core/overlap.ts'
import { ERLANG_TERM, isJson, termOf } from '../core/term.ts'
import { topicIsText, topicToBytes, type Topic } from '../core/topic.ts'
import { extendedFrame, messageNames, messageSize, pubsubBinarySize, pubsubSize, writeMessage, writePubsub, writePubsubBinary, type MessageParts } from '../protocol/pony-express/to-taker.ts'

/**
 * What PonyExpress understands: `{:pubsub, term}` and nothing else (`pony-express.md`, section 3). There is no word for a
 * gap. Text and bytes are binaries; only what is a term or JSON costs more than its own bytes.
 * @param atoms those that may be made from JSON
 */
export function createPlainEncoder(atoms: ReadonlySet<string>): Encoder {
  const hasTerm = (message: Message): boolean => message.term !== undefined || (message.text && isJson(message.contentType))
  return {
    size: (message) => hasTerm(message) ? pubsubSize(termOf(message, atoms)) : pubsubBinarySize(message.body),
    write: (message, into, at) => hasTerm(message) ? writePubsub(termOf(message, atoms), into, at) : writePubsubBinary(message.body, into, at),
    gap: () => undefined,
  }
}

/** Each message as often as its topic was asked for: what PonyExpress does on a connection that subscribes again (section 4). */
export function createRepeatingEncoder(encoder: Encoder, times: (topic: Topic) => number): Encoder {
  return {
    size: (message) => times(message.topic) * encoder.size(message),
    write(message, into, from) {
      let at = from
      for (let left = times(message.topic); left > 0; left--) at = encoder.write(message, into, at)
      return at
    },
    gap: encoder.gap,
  }
}

/** What a Waystation that wants this understands. In the place of a message that lies on disk there is a gap. */
export function createWaystationEncoder(interest: Interest): Encoder {
  const overlap = overlapOf(interest)
  const gapOf = (to: Cursor, lost: Interest, via: readonly string[] = []): Buffer =>
    extendedFrame({ kind: 'gap', to, topics: lost.topics.map(topicToBytes), patterns: lost.patterns.map(({ source }) => source), via })
  const passedOver = (message: Message): Buffer => gapOf(cursorOf(message), { topics: [message.topic], patterns: [] })
  return {
    size(message) {
      if (message.large !== undefined) return passedOver(message).length
      return messageSize(partsOf(message))
    },
    write(message, into, at) {
      if (message.large !== undefined) return at + passedOver(message).copy(into, at)
      const parts = partsOf(message)
      return writeMessage(parts, messageSize(parts), into, at)
    },
    gap: (_from, to, lost) => gapOf(to, lost === undefined ? interest : touched(interest, overlap, lost), lost?.via),
  }
}

const NOWHERE: readonly string[] = []

function partsOf(message: Message): MessageParts {
  const { offset, time, via = NOWHERE, body, term } = message
  return { offset, names: namesOf(message), time: Math.max(0, Math.round(time)), via, body: term ?? body }
}

/** Of the message before: mostly the next one has the same. */
let before: { readonly topic: Topic; readonly type: string; readonly names: Buffer } | undefined

function namesOf({ topic, contentType, term }: Message): Buffer {
  // The other end may trust that what says that it is a term is one.
  const type = term !== undefined ? ERLANG_TERM : contentType === ERLANG_TERM ? 'application/octet-stream' : contentType
  if (before === undefined || before.topic !== topic || before.type !== type) {
    before = { topic, type, names: messageNames(topicIsText(topic) ? topic : topicToBytes(topic), type) }
  }
  return before.names
}

/** Comparisons that it is worth to say exactly what is lost; past it all that was asked for is said to be. */
const MOST_COMPARISONS = 100_000

/** What of an interest may be among what is lost: nothing that was not asked for is named. */
function touched(interest: Interest, overlap: Overlap, lost: LostInterest): Interest {
  const { topics, patterns } = interest
  if ((topics.length + patterns.length) * lost.patterns.length + lost.topics.length > MOST_COMPARISONS) return interest
  const other = overlapOf(lost)
  const named = new Set([...lost.topics.filter((topic) => overlap.wants(topic)), ...topics.filter((topic) => other.wants(topic))])
  return { topics: [...named], patterns: patterns.filter((pattern) => other.patternsMayMeet(pattern)) }
}
