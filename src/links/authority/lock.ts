import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { AuthorityError } from './error.ts'

const [EVERY_MS, MOST_MS] = [20, 10_000]
let count = 0

/**
 * Runs while no other process does so with the same lock file. One that a process has left behind which is gone is taken
 * away.
 * @throws {AuthorityError} when another one holds it for ten seconds
 */
export async function locked<T>(file: string, run: () => Promise<T>): Promise<T> {
  const own = `${process.pid} ${hostname()} ${++count}\n`
  const fresh = `${file}.${process.pid}-${count}`
  const giveUp = performance.now() + MOST_MS
  // Made whole and then linked: nobody ever sees a lock that does not say whose it is.
  await writeFile(fresh, own, { flag: 'wx', mode: 0o600 })
  try {
    while (!(await linked(fresh, file))) {
      const held = await readFile(file, 'utf8').catch(() => undefined)
      if (held === undefined) continue
      if (isLeftBehind(held)) await takeAway(file, held, `${fresh}-old`)
      else if (performance.now() > giveUp) throw new AuthorityError(`process ${held.trim().split(' ').slice(0, 2).join(' on ')} is at work on the certificates; when there is none such, remove ${file}`)
      else await sleep(EVERY_MS)
    }
  } finally {
    await rm(fresh, { force: true })
  }
  try {
    return await run()
  } finally {
    await rm(file, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Whether the process that holds it was one of this machine, and is gone. */
function isLeftBehind(held: string): boolean {
  const [pid = '', host] = held.trim().split(' ')
  if (host !== hostname() || !/^\d+$/.test(pid)) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** Two may do so at once: whoever finds that he has moved a lock that is held by now puts it back. */
async function takeAway(file: string, held: string, aside: string): Promise<void> {
  const moved = await rename(file, aside).then(() => true, () => false)
  if (!moved) return
  if ((await readFile(aside, 'utf8')) !== held) await linked(aside, file)
  await rm(aside, { force: true })
}
