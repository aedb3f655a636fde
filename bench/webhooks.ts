import type { Pinning } from './machine.ts'
import { benchScenarios, type Columns } from './scenarios.ts'
import type { ScenarioName, WebhookOptions } from './webhook-options.ts'
import { rowsOf } from './webhook-rows.ts'

/** The columns of each table, in order: what is found, and how it is shown. */
const COLUMNS: Columns<ScenarioName> = {
  notify: {
    notifies: { head: 'notify/s', digits: 0 },
    webhooks: { head: 'webhooks/s', digits: 0 },
    cpuPerWebhook: { head: 'CPU µs/webhook', digits: 0 },
    cpuPerNotify: { head: 'CPU µs/notify', digits: 0 },
    p50: { head: 'answer p50 ms', digits: 1 },
    p99: { head: 'p99 ms', digits: 1 },
    serverLoad: { head: 'cores: hub', digits: 2 },
    generatorLoad: { head: 'load', digits: 2 },
  },
  hanging: {
    aloneP50: { head: 'alone p50 ms', digits: 1 },
    aloneP99: { head: 'p99 ms', digits: 1 },
    besideP50: { head: 'half hang: p50 ms', digits: 1 },
    besideP99: { head: 'p99 ms', digits: 1 },
    ratio: { head: 'p99 / p99 alone', digits: 2 },
  },
  huge: {
    inMiB: { head: 'MiB/s in', digits: 0 },
    outMiB: { head: 'MiB/s out', digits: 0 },
    peakMiB: { head: 'most RSS, MiB', digits: 0 },
    cpuPerGiB: { head: 'CPU s/GiB', digits: 2 },
    left: { head: 'spool files after', digits: 0 },
    leftHalfSent: { head: 'killed while taking in', digits: 0 },
    leftHalfTaken: { head: 'killed while delivering', digits: 0 },
  },
}

/** Measures, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchWebhooks(options: WebhookOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  const { size, healthy, rate, huge } = options
  const sheet = {
    name: 'webhooks',
    about: `messages of ${size} B; CPU of the hub, all its threads`,
    columns: COLUMNS,
    titles: {
      notify: 'notify (hosts many: each subscriber has a port of its own)',
      hanging: `${healthy} healthy subscribers, alone and beside ${healthy} that hang; ${rate} notifies/s, HMAC both ways; from notify to arrival`,
      huge: `one message of ${(huge / 2 ** 20).toLocaleString('en-US')} MiB to three subscribers`,
    },
  }
  await benchScenarios(sheet, rowsOf(options), { options, pinning }, notes, folder)
}
