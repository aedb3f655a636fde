import { readdirSync } from 'node:fs'
import { observe } from './measure.ts'
import { common, withHub, type Found, type Place } from './place.ts'
import { runLoad } from './processes.ts'
import type { Row } from './scenarios.ts'
import type { Hosts, HugeTask, SchemeName, Task } from './task.ts'
import type { ScenarioName, WebhookOptions } from './webhook-options.ts'

type WebhookPlace = Place<WebhookOptions>

const HUGE_SUBSCRIBERS = 3
const MIB = 2 ** 20

async function notify(place: WebhookPlace, subscribers: number, scheme: SchemeName, publishers: number, hosts: Hosts): Promise<Found> {
  const { warmup, seconds, size } = place.options
  const found = common(await withHub(place, scheme, (server) => observe(server, { kind: 'notify', warmup, seconds, size, subscribers, publishers, scheme, hosts }, place.pinning)))
  const each = Math.max(1, subscribers)
  const { perSecond = NaN, cpuMicroseconds = NaN } = found
  return {
    ...found,
    notifies: perSecond / each,
    cpuPerNotify: cpuMicroseconds * each,
    ...(subscribers > 0 && { webhooks: perSecond, cpuPerWebhook: cpuMicroseconds }),
  }
}

async function hanging(place: WebhookPlace, hosts: Hosts): Promise<Found> {
  const { warmup, seconds, size, healthy, rate } = place.options
  const run = async (count: number): Promise<Found> => {
    const task: Task = { kind: 'hanging', warmup, seconds: 4 * seconds, size, healthy, hanging: count, rate, hosts, scheme: 'hmac' }
    return common(await withHub(place, 'hmac', (server) => observe(server, task, place.pinning)))
  }
  const alone = await run(0)
  const beside = await run(healthy)
  return {
    aloneP50: alone['p50'] ?? NaN, aloneP99: alone['p99'] ?? NaN, besideP50: beside['p50'] ?? NaN, besideP99: beside['p99'] ?? NaN,
    ratio: (beside['p99'] ?? NaN) / (alone['p99'] ?? NaN),
    serverLoad: beside['serverLoad'] ?? NaN, generatorLoad: beside['generatorLoad'] ?? NaN, elsewhere: Math.max(alone['elsewhere'] ?? NaN, beside['elsewhere'] ?? NaN),
  }
}

async function huge(place: WebhookPlace, scheme: SchemeName): Promise<Found> {
  const { huge: size } = place.options
  const task: HugeTask = { kind: 'huge', size, subscribers: HUGE_SUBSCRIBERS, scheme, until: 'answered' }
  const whole = await withHub(place, scheme, async (server, spool) => {
    const { seen, used, after, loads } = await observe(server, task, place.pinning)
    return {
      ...loads,
      inMiB: size / MIB / (seen.secondsIn ?? NaN),
      outMiB: (size * HUGE_SUBSCRIBERS) / MIB / (seen.secondsOut ?? NaN),
      peakMiB: after.peak / MIB,
      cpuPerGiB: used / (size / 2 ** 30),
      left: filesIn(spool) + server.openBodies(),
    }
  })
  return { ...whole, leftHalfSent: await killed(place, { ...task, until: 'half sent' }), leftHalfTaken: await killed(place, { ...task, until: 'half taken' }) }
}

/** @returns files in the spool after the hub was killed in the middle */
function killed(place: WebhookPlace, task: HugeTask): Promise<number> {
  return withHub(place, task.scheme, async (server, spool) => {
    await runLoad(server.port, task, place.pinning?.load, async (phase) => {
      if (phase === 'end' && server.openBodies() === 0 && process.platform === 'linux') throw new Error('nothing was in the spool when the hub was to be killed')
      if (phase === 'end') await server.kill()
    })
    return filesIn(spool)
  })
}

function filesIn(folder: string): number {
  return readdirSync(folder).length
}

/** All rows of what was asked for, in the order of the tables. */
export function rowsOf({ only, subscribers: most, publishers: several }: WebhookOptions): Row<ScenarioName, WebhookOptions>[] {
  const counts = [...new Set([0, 1, 10, most])].filter((count) => count <= most)
  const rows: Row<ScenarioName, WebhookOptions>[] = []
  const add = (subscribers: number, scheme: SchemeName, publishers: number, hosts: Hosts): void => {
    rows.push({ scenario: 'notify', of: { subscribers, hosts, scheme, publishers }, measure: (place) => notify(place, subscribers, scheme, publishers, hosts) })
  }
  for (const scheme of ['none', 'hmac'] as const) {
    for (const count of counts) for (const publishers of new Set([1, several])) add(count, scheme, publishers, 'many')
  }
  add(most, 'hmac', several, 'one')
  for (const hosts of ['many', 'one'] as const) rows.push({ scenario: 'hanging', of: { hosts }, measure: (place) => hanging(place, hosts) })
  rows.push({ scenario: 'huge', of: { scheme: 'hmac' }, measure: (place) => huge(place, 'hmac') })
  return rows.filter(({ scenario }) => only.includes(scenario))
}
