import type { Debtor } from '../../../src/core/arrears.ts'
import { createRecordingSink, sinkContract, type RecordingSink } from '../../../src/testing/index.ts'

const faults: Record<string, (sink: RecordingSink, isOver: () => boolean) => Partial<Debtor>> = {
  'it changes the chunk': (sink) => ({ write: (chunk) => (sink.write(Buffer.from(chunk)), void chunk.fill(0)) }),
  'it leaves some out': (sink) => {
    let writes = 0
    return { write: (chunk) => void (++writes % 10 === 0 || sink.write(chunk)) }
  },
  'it always has bytes pending': () => ({ pendingBytes: 1 }),
  'it never has bytes pending': () => ({ pendingBytes: 0 }),
  'there is always room': () => ({ room: () => undefined }),
  'there is never room': (sink, isOver) => ({ room: () => (isOver() ? sink.room() : new Promise(() => {})) }),
  'room never comes back': (sink, isOver) => ({ room: () => (isOver() || sink.room() === undefined ? sink.room() : new Promise(() => {})) }),
  'there is room when it is over': (sink, isOver) => ({ room: () => (isOver() ? undefined : sink.room()) }),
  'it throws when it is over': (sink, isOver) => ({
    write(chunk) {
      if (isOver()) throw new Error('write after end')
      sink.write(chunk)
    },
  }),
  'it has enough while nothing is pending': (sink) => ({ write: (chunk) => (sink.write(chunk), false) }),
  'it never has enough': (sink) => ({ write: (chunk) => (sink.write(chunk), true) }),
  'it does not take what is more than enough': (sink) => {
    let full = false
    return { write: (chunk) => !full && (full = sink.pendingBytes > 0) ? false : sink.write(chunk) }
  },
  'it never says that it takes more': () => ({ get arrears() { return undefined }, set arrears(_) {} }),
  'it says that it takes more before it does': (sink) => ({
    write(chunk) {
      setImmediate(() => sink.arrears?.drained())
      return sink.write(chunk)
    },
  }),
  'what waits elsewhere is not pending': (sink) => ({ get pendingBytes() { return sink.pendingBytes - (sink.arrears?.bytes ?? 0) } }),
  'it forgets what waits elsewhere when it is evicted': (sink) => ({
    evict() {
      sink.arrears = undefined
      sink.evict()
    },
  }),
  'it goes on after it was evicted': (sink) => ({ evict() {}, write: (chunk) => sink.write(chunk) }),
  'it forgets what was pending when it is evicted': (sink) => {
    const held: Buffer[] = []
    let timer: NodeJS.Immediate | undefined
    return {
      write(chunk) {
        held.push(chunk)
        timer ??= setImmediate(() => {
          timer = undefined
          for (const one of held.splice(0)) sink.write(one)
        })
      },
      evict() {
        held.length = 0
        sink.evict()
      },
    }
  },
}

function register(name: string, change: (sink: RecordingSink, isOver: () => boolean) => Partial<Debtor>): void {
  sinkContract(name, () => {
    const sink = createRecordingSink(0, undefined, 1_000)
    const ended = Promise.withResolvers<void>()
    let over = false
    const changed = change(sink, () => over)
    const under = Object.create(sink, Object.getOwnPropertyDescriptors(changed)) as RecordingSink
    const evict = under.evict
    Object.defineProperty(under, 'evict', { value: () => {
      evict.call(sink)
      ended.resolve()
    } })
    return {
      sink: under,
      async arrived(length) {
        for (let i = 0; i < 20 && sink.bytes().length < length; i++) await new Promise((resolve) => setImmediate(resolve))
        return sink.bytes()
      },
      stall: () => sink.stall(),
      take: () => sink.take(),
      async leave() {
        over = true
        sink.end()
      },
      ended: ended.promise,
    }
  }, { patience: 500, saysEnough: true })
}

register('sound', () => ({}))
for (const [name, change] of Object.entries(faults)) register(name, change)
