import type { HangingTask, Report } from '../task.ts'
import { letGo } from './connect.ts'
import { createHistogram } from './histogram.ts'
import { createNotifier, openRequester, subscribe, type Requester } from './lonelyps.ts'
import { openReceivers } from './receivers.ts'
import { arrived, measured } from './time.ts'

const TOPIC = 'bench/hanging'

/**
 * Notifies at a fixed rate. An answer comes when all subscribers were attempted, which takes long where some hang: the next
 * notify goes out on another connection meanwhile. Counted are the webhooks that came to the healthy, and the time since the
 * notify was written.
 */
export async function loadHanging(port: number, task: HangingTask, report: Report): Promise<void> {
  const { healthy, hanging, scheme } = task
  const notifier = createNotifier(scheme, TOPIC)
  const opened: Requester[] = []
  const idle: Requester[] = []
  let histogram = createHistogram()
  let sent = 0
  let webhooks = 0

  const receivers = await openReceivers({
    count: healthy + hanging, hosts: task.hosts, scheme,
    // In turns, so that neither kind comes first.
    answers: (index) => hanging === 0 || index % 2 === 0,
    arrived(index, message) {
      if (hanging > 0 && index % 2 === 1) return
      webhooks++
      histogram.add((performance.now() - message.readDoubleBE(0)) * 1000)
    },
  })
  await subscribe(port, scheme, receivers.urls, [TOPIC])

  async function publish(): Promise<void> {
    sent++
    let one = idle.pop()
    if (one === undefined) {
      one = await openRequester(port)
      opened.push(one)
    }
    const free = one
    const body = Buffer.alloc(task.size)
    body.writeDoubleBE(performance.now())
    free.ask(notifier.whole(body), () => idle.push(free))
  }

  const began = performance.now()
  let failed: Error | undefined
  const clock = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * task.rate)
    while (sent < due) publish().catch((error: Error) => (failed = error))
  }, 1)
  try {
    await measured(task, report, () => webhooks, () => (histogram = createHistogram()))
    clearInterval(clock)
    if (failed !== undefined) throw failed
    await arrived(() => sent * healthy - webhooks, 'webhooks to healthy subscribers', task.patience)
  } finally {
    clearInterval(clock)
    letGo(opened.map(({ socket }) => socket))
    receivers.close()
  }
}
