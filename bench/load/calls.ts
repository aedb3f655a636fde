import type { CallsTask, Report } from '../task.ts'
import { openCaller } from './callers.ts'
import { createHistogram } from './histogram.ts'
import { arrived, measured } from './time.ts'

const SENT = 'x'.charCodeAt(0)

/** So many lanes, each calling again when it is answered. @throws {Error} when a call fails, or its answer is not what was sent */
export async function loadCalls(port: number, task: CallsTask, report: Report): Promise<void> {
  const caller = await openCaller(port, task)
  let histogram = createHistogram()
  let asked = 0
  let answered = 0
  let asking = true

  function ask(): void {
    const at = performance.now()
    asked++
    caller.call((answer) => {
      if (answer.length !== caller.bytes || answer.at(-1) !== SENT) throw new Error(`an answer of ${answer.length} bytes that is no echo`)
      answered++
      histogram.add((performance.now() - at) * 1000)
      if (asking) ask()
    })
  }

  // Until the first answer nobody knows what the other end is.
  await new Promise<void>((resolve) => caller.call(() => resolve()))
  for (let lane = 0; lane < task.together; lane++) ask()
  await measured(task, report, () => answered, () => (histogram = createHistogram()))
  asking = false
  await arrived(() => asked - answered, 'answers', task.patience)
  await caller.close()
}
