import type { IdleTask, Report } from '../task.ts'
import { letGo, openMany, openWebSocket } from './connect.ts'
import { createFrameReader } from './frames.ts'
import { cpuSeconds, seconds } from './time.ts'

/** Opens connections and says nothing. The server's pings are read and passed over: they would want an answer only later. */
export async function loadIdle(port: number, task: IdleTask, report: Report): Promise<void> {
  const read = createFrameReader(() => {})
  const open = (name: string) => (index: number) => openWebSocket(port, `/bench/${name}/${index}`, read)
  const early = await openMany(task.before, open('before'))
  await seconds(task.settle)
  await report({ begin: true })
  const before = { cpu: cpuSeconds(), at: performance.now() }
  const idle = await openMany(task.connections, open('idle'))
  await seconds(task.settle)
  const took = (performance.now() - before.at) / 1000
  await report({ end: { count: task.connections, seconds: took, cpu: cpuSeconds() - before.cpu } })
  letGo([...early, ...idle].map(({ socket }) => socket))
}
