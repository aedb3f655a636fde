import type { FanOutTask, Report } from '../task.ts'
import { letGo, openMany, openWebSocket } from './connect.ts'
import { channelPath, createFrameReader, createFrameWriter, STAMPS, type FrameState } from './frames.ts'
import { createHistogram } from './histogram.ts'
import { arrived, measured } from './time.ts'

/** Far more than are ever under way; a message that is later than so many others would be measured wrongly. */
const REMEMBERED = 65_536

/** Publishes, counts what arrives and how long it took. @throws {Error} when a delivery never came */
export async function loadFanOut(port: number, task: FanOutTask, report: Report): Promise<void> {
  const { subscribers, channels, size, inFlight = 0, rate, keyed } = task
  const perMessage = subscribers / channels
  const writer = createFrameWriter(size)
  const sentAt = new Float64Array(REMEMBERED)
  let histogram = createHistogram()
  let now = 0
  let published = 0
  let delivered = 0
  let publishing = false

  const read = createFrameReader((stamp) => {
    delivered++
    histogram.add((now - (sentAt[stamp % REMEMBERED] as number)) * 1000)
  })

  function onFrames(state: FrameState, bytes: Buffer, length: number): void {
    now = performance.now()
    read(state, bytes, length)
    if (publishing && rate === undefined) refill()
  }

  function refill(): void {
    const room = inFlight - (published - Math.floor(delivered / perMessage))
    if (room > 0) publish(room)
  }

  /** What goes to one channel goes in one write, as a busy publisher's messages do. */
  function publish(count: number): void {
    const together = channels === 1 ? count : 1
    for (let sent = 0; sent < count; sent += together) {
      const to = publishers[published % channels]
      const frames = Buffer.allocUnsafe(together * writer.length)
      for (let i = 0; i < together; i++, published++) {
        sentAt[published % REMEMBERED] = performance.now()
        writer.write(published % STAMPS, frames, i * writer.length)
      }
      to?.socket.write(frames)
    }
  }

  /** Stamped when it is sent, not when it was due: this generator's own lateness is not the server's. */
  function publishAtRate(due: number): void {
    if (!publishing || rate === undefined) return
    let next = due
    for (; next <= performance.now(); next += 1000 / rate) publish(1)
    setTimeout(() => publishAtRate(next), next - performance.now())
  }

  // Before its publisher is there, a keyed topic is not.
  const alone = keyed === undefined ? [] : await openMany(channels, (i) => openWebSocket(port, channelPath(keyed.publisher, i), keyed.hears === true ? () => {} : onFrames))
  const members = await openMany(subscribers, (i) => openWebSocket(port, keyed === undefined ? `/bench/${i % channels}` : channelPath(keyed.subscribers, i % channels), onFrames))
  const publishers = keyed === undefined ? members : alone
  try {
    publishing = true
    if (rate === undefined) refill()
    else publishAtRate(performance.now())
    await measured(task, report, () => delivered, () => (histogram = createHistogram()))
    publishing = false
    await arrived(() => published * perMessage - delivered, 'deliveries', task.patience)
  } finally {
    publishing = false
    letGo([...alone, ...members].map(({ socket }) => socket))
  }
}
