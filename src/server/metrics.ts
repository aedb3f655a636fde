import { collectDefaultMetrics, Counter, Gauge, Registry, type Metric } from 'prom-client'
import type { Meter } from '../core/ports.ts'

/** Every metric of the hub. The table is the truth: the registry and `docs/reference/metrics.md` come from it. */
export const METRICS = {
  waystation_connections: { type: 'gauge', label: 'transport', help: 'open long-lived connections' },
  waystation_topics: { type: 'gauge', help: 'topics that somebody subscribes to by name' },
  waystation_patterns: { type: 'gauge', help: 'patterns that somebody subscribes to' },
  waystation_registry_up: { type: 'gauge', help: 'whether the database of registrations and API keys answers: 1 or 0' },
  waystation_key_checks_total: { type: 'counter', label: 'result', help: 'API keys of wspubsub publishers that were checked: good, bad or unavailable' },
  waystation_link_up: { type: 'gauge', label: 'link', help: 'whether all links to this place, by which the hub takes topics, are up: 1 or 0' },
  waystation_link_dropped_total: { type: 'counter', label: 'reason', help: 'messages that came by a link and were not published: they had come from this hub, were repeats, or were refused' },
  waystation_takers_refused_total: { type: 'counter', label: 'reason', help: 'connections to the daemon of links that were refused or ended for what they sent' },
  waystation_calls_total: { type: 'counter', label: 'result', help: 'calls of services, by what became of them: ok, or a code of errors.md' },
  waystation_calls: { type: 'gauge', label: 'state', help: 'calls of services that are with a worker (running) or wait for one (waiting)' },
  waystation_service_calls_answered_total: { type: 'counter', label: 'service', help: 'calls of each service that were answered' },
  waystation_service_calls_failed_total: { type: 'counter', label: 'service', help: 'calls of each service that were not, whoever is at fault' },
  waystation_workers: { type: 'gauge', label: 'service', help: 'workers of each service, daemons that the hub calls included' },
  waystation_service_refused_total: { type: 'counter', label: 'reason', help: 'connections to the daemon of services that were refused or ended for what they sent' },
  waystation_registrations: { type: 'gauge', help: 'webhook registrations' },
  waystation_webhooks: { type: 'gauge', label: 'state', help: 'webhooks that are on their way (running) or wait for their turn (waiting)' },
  waystation_spool_bytes: { type: 'gauge', help: 'bytes of messages that lie on disk on their way' },
  waystation_log_bytes: { type: 'gauge', help: 'bytes of the messages that the rules keep' },
  waystation_messages_published_total: { type: 'counter', label: 'transport', help: 'messages that came in' },
  waystation_published_bytes_total: { type: 'counter', label: 'transport', help: 'bytes of the bodies that came in' },
  waystation_deliveries_total: { type: 'counter', label: 'transport', help: 'messages written, once for each connection' },
  waystation_deliveries_failed_total: { type: 'counter', label: 'transport', help: 'deliveries that were tried in vain' },
  waystation_publish_to_write_seconds: { type: 'histogram', label: 'transport', help: 'from the publishing of a message to its write to all, once for each write' },
  waystation_slow_consumers_total: { type: 'counter', label: 'transport', help: 'connections that were let go because they did not keep up' },
  waystation_gaps_total: { type: 'counter', label: 'transport', help: 'times that a receiver was told that messages are lost' },
  waystation_connections_refused_total: { type: 'counter', label: 'reason', help: 'connections that were refused by a limit' },
} as const satisfies Record<string, { type: 'gauge' | 'counter' | 'histogram'; label?: 'transport' | 'reason' | 'state' | 'result' | 'link' | 'service'; help: string }>

export type MetricName = keyof typeof METRICS

/** Seconds: from a tenth of a millisecond, which a turn of the loop may take, to the seconds of a machine in trouble. */
const BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] as const

/** What is counted for each message, of one transport: fields, because maps would cost a tenth of a message. */
interface Tally {
  messages: number
  bytes: number
  deliveries: number
  /** Writes to all, by how long they took; the last is for the longest. */
  readonly buckets: number[]
  /** Seconds of them all. */
  sum: number
}

const TALLIED: Partial<Record<MetricName, 'messages' | 'bytes' | 'deliveries'>> = {
  waystation_messages_published_total: 'messages',
  waystation_published_bytes_total: 'bytes',
  waystation_deliveries_total: 'deliveries',
}

export interface HubMetrics {
  readonly meter: Meter
  refused(reason: string): void
  keyChecked(result: string): void
  linkDropped(reason: string): void
  takerRefused(reason: string): void
  /** @param result `ok`, or the code of an error */
  called(result: string): void
  /** The same by the name of a service that is known. */
  calledOf(service: string, outcome: 'answered' | 'failed'): void
  serviceRefused(reason: string): void
  /** Messages that came in, and that were written, over all transports. */
  totals(): { in: number; out: number }
  /** The whole page, in Prometheus' text form. */
  page(): Promise<{ contentType: string; text: string }>
}

/** What is asked for when somebody looks, rather than counted all the time. */
export interface Gauges {
  connections(): Record<string, number>
  topics(): number
  patterns(): number
  logBytes(): number
  webhooks(): { registrations: number; running: number; waiting: number }
  spoolBytes(): number
  /** `undefined` where there is no registry. */
  registry(): boolean | undefined
  /** Whether each link that topics are taken by is up, by its name. */
  links(): Record<string, boolean>
  calls(): { running: number; waiting: number }
  /** By service. */
  workers(): Record<string, number>
}

/**
 * Counting is an addition to a number here; `prom-client` sees the numbers when somebody looks. With a call of its own
 * for each write, counting would cost a third of a small fan-out.
 */
export function createMetrics(gauges: Gauges, parts: { process: boolean }): HubMetrics {
  const registry = new Registry()
  const counts = new Map<MetricName, Map<string, number>>()
  const tallies = new Map<string, Tally>()

  function add(metric: MetricName, label: string, amount: number): void {
    let values = counts.get(metric)
    if (values === undefined) counts.set(metric, (values = new Map()))
    values.set(label, (values.get(label) ?? 0) + amount)
  }

  function tallyOf(transport: string): Tally {
    let tally = tallies.get(transport)
    if (tally === undefined) tallies.set(transport, (tally = { messages: 0, bytes: 0, deliveries: 0, buckets: BUCKETS.map(() => 0).concat(0), sum: 0 }))
    return tally
  }

  /** What a counter has come to, by its label. */
  function valuesOf(metric: MetricName): Iterable<[label: string, value: number]> {
    const field = TALLIED[metric]
    if (field === undefined) return counts.get(metric) ?? []
    return [...tallies].map(([transport, tally]): [string, number] => [transport, tally[field]]).filter(([, value]) => value > 0)
  }

  function total(metric: MetricName): number {
    return [...valuesOf(metric)].reduce((sum, [, value]) => sum + value, 0)
  }

  const current: Record<string, () => Record<string, number>> = {
    waystation_connections: () => gauges.connections(),
    waystation_topics: () => ({ '': gauges.topics() }),
    waystation_patterns: () => ({ '': gauges.patterns() }),
    waystation_registry_up: () => {
      const isUp = gauges.registry()
      return isUp === undefined ? {} : { '': isUp ? 1 : 0 }
    },
    waystation_link_up: () => Object.fromEntries(Object.entries(gauges.links()).map(([name, isUp]) => [name, isUp ? 1 : 0])),
    waystation_calls: () => ({ ...gauges.calls() }),
    waystation_workers: () => gauges.workers(),
    waystation_registrations: () => ({ '': gauges.webhooks().registrations }),
    waystation_webhooks: () => ({ running: gauges.webhooks().running, waiting: gauges.webhooks().waiting }),
    waystation_spool_bytes: () => ({ '': gauges.spoolBytes() }),
    waystation_log_bytes: () => ({ '': gauges.logBytes() }),
  }
  for (const [name, { type, help, ...rest }] of Object.entries(METRICS)) {
    const label = 'label' in rest ? rest.label : undefined
    const labelNames = label === undefined ? [] : [label]
    const labels = (value: string): Record<string, string> => (label === undefined ? {} : { [label]: value })
    if (type === 'histogram') {
      registry.registerMetric(histogramMetric(name, help, label as string, tallies))
    } else if (type === 'gauge') {
      registry.registerMetric(new Gauge({ name, help, labelNames, registers: [], collect() {
        this.reset()
        for (const [value, amount] of Object.entries(current[name]?.() ?? {})) this.set(labels(value), amount)
      } }))
    } else {
      registry.registerMetric(new Counter({ name, help, labelNames, registers: [], collect() {
        this.reset()
        for (const [value, amount] of valuesOf(name as MetricName)) this.inc(labels(value), amount)
      } }))
    }
  }
  if (parts.process) collectDefaultMetrics({ register: registry })

  return {
    meter: {
      published(transport, bytes, messages = 1) {
        const tally = tallyOf(transport)
        tally.messages += messages
        tally.bytes += bytes
      },
      delivered(transport, deliveries, seconds) {
        const tally = tallyOf(transport)
        tally.deliveries += deliveries
        if (seconds === undefined) return
        const { buckets } = tally
        let i = 0
        while (i < BUCKETS.length && seconds > (BUCKETS[i] as number)) i++
        buckets[i] = (buckets[i] as number) + 1
        tally.sum += seconds
      },
      slow: (transport) => add('waystation_slow_consumers_total', transport, 1),
      failed: (transport) => add('waystation_deliveries_failed_total', transport, 1),
      gap: (transport, receivers = 1) => add('waystation_gaps_total', transport, receivers),
    },
    refused: (reason) => add('waystation_connections_refused_total', reason, 1),
    linkDropped: (reason) => add('waystation_link_dropped_total', reason, 1),
    takerRefused: (reason) => add('waystation_takers_refused_total', reason, 1),
    calledOf: (service, outcome) => add(`waystation_service_calls_${outcome}_total`, service, 1),
    called: (result) => add('waystation_calls_total', result, 1),
    serviceRefused: (reason) => add('waystation_service_refused_total', reason, 1),
    keyChecked: (result) => add('waystation_key_checks_total', result, 1),
    totals: () => ({ in: total('waystation_messages_published_total'), out: total('waystation_deliveries_total') }),
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}

/** A histogram as `prom-client` wants to see one, made from our own numbers. */
function histogramMetric(name: string, help: string, label: string, from: ReadonlyMap<string, Tally>): Metric {
  const metric = {
    name,
    help,
    get() {
      const values = [...from].filter(([, { buckets }]) => buckets.some((count) => count > 0)).flatMap(([of, { buckets, sum }]) => {
        let total = 0
        const rows = buckets.map((count, i) => {
          total += count
          return { labels: { [label]: of, le: BUCKETS[i] ?? '+Inf' }, value: total, metricName: `${name}_bucket` }
        })
        return [...rows, { labels: { [label]: of }, value: sum, metricName: `${name}_sum` }, { labels: { [label]: of }, value: total, metricName: `${name}_count` }]
      })
      return { name, help, type: 'histogram', values, aggregator: 'sum' }
    },
    reset() {},
  }
  return metric as unknown as Metric
}
