import type { Lost, Message } from '../../../src/core/message.ts'
import { createMemoryLog } from '../../../src/core/log.ts'
import { interestIn, type Interest } from '../../../src/core/interest.ts'
import type { Log } from '../../../src/core/ports.ts'
import { logContract, type LogParts } from '../../../src/testing/index.ts'

/** A sound log with something about it changed. */
type Change = (log: Log, parts: LogParts) => Partial<Log>

function sound(parts: LogParts): Log {
  return createMemoryLog({ ...parts, maxBytes: 1_000_000 })
}

/** What is read goes through `change` first. */
function reading(change: (messages: Message[], after: number) => Message[]): Change {
  return (log) => ({
    read(interest, after) {
      const history = log.read(interest, after)
      return history === 'lost' ? 'lost' : change([...(history as Message[])], after.offset)
    },
  })
}

function appending(change: (message: Message) => Message): Change {
  return (log) => ({ append: (draft) => change(log.append(draft) as Message) })
}

/** What is lost goes through `change` first. */
function losing(change: (lost: Interest) => Interest): Change {
  return (log) => ({ lose: (lost) => ({ ...(log.lose(change(lost)) as Lost), lost }) })
}

const faults: Record<string, Change> = {
  'offsets skip': appending((message) => ({ ...message, offset: message.offset * 2 })),
  'offsets begin at 0': appending((message) => ({ ...message, offset: message.offset - 1 })),
  'head lags behind': (log) => ({ get head() { return Math.max(0, log.head - 1) } }),
  'the time is not that of the append': appending((message) => ({ ...message, time: message.time - 1_000 })),
  'the content type is lost': appending((message) => ({ ...message, contentType: 'text/plain' })),
  'the text flag is lost': appending((message) => ({ ...message, text: true })),
  'the body is cut': reading((messages) => messages.map((message) => ({ ...message, body: message.body.subarray(1) }))),
  'appends settle in any order': (log) => {
    let i = 0
    return {
      append(draft) {
        const message = log.append(draft)
        return new Promise((resolve) => (i++ % 2 === 0 ? setImmediate(() => resolve(message)) : resolve(message)))
      },
    }
  },
  'a loss has no offset of its own': (log) => ({ lose: (lost) => ({ lost, offset: log.head, epoch: log.epoch, time: 0 }) }),
  'a read leaves out losses': reading((messages) => messages.filter((one) => !('lost' in one))),
  'a read gives losses last': reading((messages) => [...messages.filter((one) => !('lost' in one)), ...messages.filter((one) => 'lost' in one)]),
  'a loss goes to everyone': losing(() => interestIn(['*'])),
  'a loss goes to those that want a lost name alone': losing(({ topics }) => ({ topics, patterns: [] })),
  'only a few losses are kept': (log) => {
    const losses: Lost[] = []
    const read: Log['read'] = (interest, after) => {
      const history = log.read(interest, after)
      const gone = losses.slice(0, -500)
      return history === 'lost' ? 'lost' : (history as (Message | Lost)[]).filter((one) => !gone.some(({ offset }) => offset === one.offset))
    }
    return { read, lose: (lost) => (losses.push(log.lose(lost) as Lost), losses.at(-1) as Lost) }
  },
  'every log has the same epoch': () => ({ epoch: 'same' }),
  'the epoch does not travel': (log) => ({ epoch: `${log.epoch}:X` }),
  'a read leaves out the first': reading((messages) => messages.slice(1)),
  'a read leaves out the last': reading((messages) => messages.slice(0, -1)),
  'a read is backwards': reading((messages) => messages.toReversed()),
  'a read repeats': reading((messages) => messages.flatMap((message) => [message, message])),
  'a read ignores the cursor': (log) => ({ read: (interest, after) => log.read(interest, after.offset < log.head ? { ...after, offset: 0 } : after) }),
  'a read gives what is left instead of saying that something is lost': (log) => ({
    read(interest, after) {
      for (let offset = after.offset; offset <= log.head; offset++) {
        const history = log.read(interest, { ...after, offset })
        if (history !== 'lost') return history
      }
      return 'lost'
    },
  }),
  'a foreign epoch is taken for its own': (log) => ({ read: (interest, after) => log.read(interest, { ...after, epoch: log.epoch }) }),
  'an offset of the future is the end': (log) => ({ read: (interest, after) => (after.offset > log.head ? [] : log.read(interest, after)) }),
  'everything is always lost': () => ({ read: () => 'lost' }),
  'a read stops at what is appended meanwhile': (log) => ({
    read(interest, after) {
      const history = log.read(interest, after)
      if (history === 'lost') return 'lost'
      const head = log.head
      return (function* () {
        for (const message of history as Message[]) {
          if (log.head !== head && log.head % 7 === 0) continue
          yield message
        }
      })()
    },
  }),
  'ages are not looked at': (_, { rules, random, clock }) => sound({ rules, random, clock: { ...clock, now: () => 1_767_225_600_000 } }),
  'a sweep takes everything': (log, parts) => {
    let now = log
    return {
      get epoch() { return now.epoch },
      get head() { return now.head },
      append: (draft) => now.append(draft),
      read: (interest, after) => now.read(interest, after),
      sweep: () => void (now = sound(parts)),
    }
  },
}

/** Properties of the change stand over those of the log, getters and all. */
function changed(parts: LogParts, change: Change): Log {
  const log = sound(parts)
  return Object.create(log, Object.getOwnPropertyDescriptors(change(log, parts))) as Log
}

logContract('sound', sound)
for (const [name, change] of Object.entries(faults)) logContract(name, (parts) => changed(parts, change))
