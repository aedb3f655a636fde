import { createHash } from 'node:crypto'
import type { NotifyTask, Report } from '../task.ts'
import { letGo, openMany } from './connect.ts'
import { createHistogram } from './histogram.ts'
import { checkNotified, createNotifier, openRequester, subscribe, type Requester } from './lonelyps.ts'
import { openReceivers } from './receivers.ts'
import { arrived, measured } from './time.ts'

/**
 * Every publisher sends one notify after the other on a topic of its own, which every subscriber has. Counted are webhooks,
 * or notifies when nobody subscribes; the times are those of a notify until its answer.
 * @throws {Error} when an answer does not say that all subscribers have it
 */
export async function loadNotify(port: number, task: NotifyTask, report: Report): Promise<void> {
  const { subscribers, scheme } = task
  const body = Buffer.alloc(task.size, 'x')
  const sha512 = createHash('sha512').update(body).digest()
  const topics = Array.from({ length: task.publishers }, (_, index) => `bench/${index}`)
  let histogram = createHistogram()
  let webhooks = 0
  let asked = 0
  let answered = 0
  let asking = true

  const receivers = await openReceivers({ count: subscribers, hosts: task.hosts, scheme, answers: () => true, arrived: () => webhooks++ })
  await subscribe(port, scheme, receivers.urls, topics)
  const publishers = await openMany(task.publishers, () => openRequester(port))

  function ask(one: Requester, notifier: ReturnType<typeof createNotifier>): void {
    asked++
    const askedAt = performance.now()
    one.ask(notifier.whole(body, sha512), (answer) => {
      checkNotified(answer, subscribers)
      answered++
      histogram.add((performance.now() - askedAt) * 1000)
      if (asking) ask(one, notifier)
    })
  }

  try {
    publishers.forEach((one, index) => ask(one, createNotifier(scheme, topics[index] as string)))
    await measured(task, report, () => (subscribers === 0 ? answered : webhooks), () => (histogram = createHistogram()))
    asking = false
    await arrived(() => asked - answered, 'answers', task.patience)
    await arrived(() => asked * subscribers - webhooks, 'webhooks', task.patience)
  } finally {
    letGo(publishers.map(({ socket }) => socket))
    receivers.close()
  }
}
