import type { Report, Timed } from '../task.ts'
import type { Histogram } from './histogram.ts'

const PATIENCE = 15

export function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1000))
}

/** CPU seconds of this process so far. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/**
 * Waits for the warm-up to pass, then counts for a while, and tells the bench of the beginning and the end.
 * @param counted how many there have been so far
 * @param restart begins a new histogram of latencies, where latencies are measured
 */
export async function measured(task: Timed, report: Report, counted: () => number, restart?: () => Histogram): Promise<void> {
  await seconds(task.warmup)
  const before = { counted: counted(), cpu: cpuSeconds(), at: performance.now() }
  const histogram = restart?.()
  void report({ begin: true })
  await seconds(task.seconds)
  // Nothing at all is no figure: a short measurement on a busy machine takes as long as it must.
  const timed = (): boolean => histogram === undefined || !Number.isNaN(histogram.percentile(0.5))
  await holds(() => counted() > before.counted && timed(), () => 'nothing came in the time that is measured', task.patience)
  const took = (performance.now() - before.at) / 1000
  await report({
    end: {
      count: counted() - before.counted,
      seconds: took,
      p50: (histogram?.percentile(0.5) ?? NaN) / 1000,
      p99: (histogram?.percentile(0.99) ?? NaN) / 1000,
      cpu: cpuSeconds() - before.cpu,
    },
  })
}

/**
 * Waits until nothing is missing any more, as long as it becomes less: a server that is far behind loses nothing.
 * @throws {Error} when something stays missing, or there is too much of it
 */
export async function arrived(missing: () => number, what: string, patience?: number): Promise<void> {
  while (missing() > 0) {
    const before = missing()
    await holds(() => missing() < before, () => `${before} ${what} never came`, patience)
  }
  if (missing() < 0) throw new Error(`${-missing()} ${what} came twice`)
}

async function holds(condition: () => boolean, otherwise: () => string, patience = PATIENCE): Promise<void> {
  const deadline = performance.now() + patience * 1000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(otherwise())
    await seconds(0.01)
  }
}
