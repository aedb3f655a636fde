import type { Message } from '../../../src/core/message.ts'
import type { Subscriber } from '../../../src/core/ports.ts'
import { createRecorder, GAP, subscriberContract, type Recorder } from '../../../src/testing/index.ts'

const faults: Record<string, (recorder: Recorder) => Partial<Subscriber>> = {
  'it counts nobody': () => ({ count: 0 }),
  'it counts one too many': () => ({ count: 2 }),
  'it waits': (recorder) => ({ deliver: (async (message: Message) => recorder.deliver(message)) as never }),
  'it gives back what it did': (recorder) => ({ gap: ((from: never, to: never) => (recorder.gap(from, to), true)) as never }),
  'it swaps two': (recorder) => {
    let held: Message | undefined
    return {
      deliver(message) {
        if (held === undefined && message.offset % 2 === 1) return void (held = message)
        recorder.deliver(message)
        if (held !== undefined) recorder.deliver(held)
        held = undefined
      },
    }
  },
  'it leaves some out': (recorder) => ({ deliver: (message) => (message.offset % 50 === 0 ? undefined : recorder.deliver(message)) }),
  'it repeats': (recorder) => ({ deliver: (message) => (recorder.deliver(message), recorder.deliver(message)) }),
  'it keeps gaps to itself': () => ({ gap() {} }),
  'it keeps to itself what was lost on its way': (recorder) => ({ gap: (from, to, lost) => (lost === undefined ? recorder.gap(from, to) : undefined) }),
  'it tells of a gap before what came before it': (recorder) => ({
    deliver: (message) => void setImmediate(() => recorder.deliver(message)),
  }),
  'it throws on what is empty': (recorder) => ({
    deliver(message) {
      if (message.body.length === 0) throw new Error('nothing to send')
      recorder.deliver(message)
    },
  }),
  'it writes to the body': (recorder) => ({
    deliver(message) {
      recorder.deliver({ ...message, body: Buffer.from(message.body) })
      message.body.fill(0)
    },
  }),
}

function register(name: string, change: (recorder: Recorder, isGone: () => boolean) => Partial<Subscriber>): void {
  subscriberContract(name, () => {
    const recorder = createRecorder()
    let gone = false
    return {
      subscriber: { count: 1, deliver: recorder.deliver, gap: recorder.gap, ...change(recorder, () => gone) },
      receivers: 1,
      arrived: () => recorder.texts().map((text) => (text === '(gap)' ? GAP : text)),
      leave: () => void (gone = true),
    }
  })
}

register('sound', () => ({}))
for (const [name, change] of Object.entries(faults)) register(name, change)
register('it throws when nobody is there', (recorder, isGone) => ({
  deliver(message) {
    if (isGone()) throw new Error('write after end')
    recorder.deliver(message)
  },
}))
register('it throws on a gap when nobody is there', (recorder, isGone) => ({
  gap(from, to) {
    if (isGone()) throw new Error('write after end')
    recorder.gap(from, to)
  },
}))
