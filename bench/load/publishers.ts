import type { PublishersTask, Report } from '../task.ts'
import { publisherPath } from './bench-keys.ts'
import { letGo, openMany, openWebSocket, type Connection } from './connect.ts'
import { createFrameReader } from './frames.ts'
import { createHistogram } from './histogram.ts'
import { cpuSeconds, seconds } from './time.ts'

/** Opens publishers, each with a key that the hub has not seen, as fast as it can. @throws {Error} when one is refused */
export async function loadPublishers(port: number, task: PublishersTask, report: Report): Promise<void> {
  const { count, before: few, together, settle } = task
  const read = createFrameReader(() => {})
  let histogram = createHistogram()
  const open = async (index: number): Promise<Connection> => {
    const askedAt = performance.now()
    const one = await openWebSocket(port, publisherPath(index), read)
    histogram.add((performance.now() - askedAt) * 1000)
    return one
  }

  const early = await openMany(few, open, together)
  await seconds(settle)
  await report({ begin: true })
  histogram = createHistogram()
  const before = { cpu: cpuSeconds(), at: performance.now() }
  const publishers = await openMany(count, (index) => open(few + index), together)
  const took = (performance.now() - before.at) / 1000
  const seen = { count, seconds: took, cpu: cpuSeconds() - before.cpu, p50: histogram.percentile(0.5) / 1000, p99: histogram.percentile(0.99) / 1000 }
  await report({ end: seen })
  // Once more, for the memory.
  await seconds(settle)
  await report({ end: seen })
  letGo([...early, ...publishers].map(({ socket }) => socket))
}
