import type { IdleTask, Report } from '../task.ts'
import { letGo, openMany, openWebSocket } from './connect.ts'
import { channelPath, createFrameReader } from './frames.ts'
import { cpuSeconds, seconds } from './time.ts'

/** Opens connections and says nothing. The server's pings are read and passed over: they would want an answer only later. */
export async function loadIdle(port: number, task: IdleTask, report: Report): Promise<void> {
  const read = createFrameReader(() => {})
  const { on } = task
  const open = (name: string, first = 0) => (index: number) => openWebSocket(port, on === undefined ? `/bench/${name}/${index}` : channelPath(on.path, (first + index) % on.channels), read)
  const early = await openMany(task.before, open('before', task.connections))
  await seconds(task.settle)
  await report({ begin: true })
  const before = { cpu: cpuSeconds(), at: performance.now() }
  const idle = await openMany(task.connections, open('idle'))
  await seconds(task.settle)
  const took = (performance.now() - before.at) / 1000
  await report({ end: { count: task.connections, seconds: took, cpu: cpuSeconds() - before.cpu } })
  letGo([...early, ...idle].map(({ socket }) => socket))
}
