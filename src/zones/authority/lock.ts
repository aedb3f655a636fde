import { link, lstat, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { AuthorityError } from './error.ts'

const [EVERY_MS, MOST_MS] = [20, 10_000]
let count = 0

/**
 * Runs while no other process does so with the same lock file. One that a process has left behind which is gone is taken
 * away.
 * @param most ms that another one may hold it (ten seconds)
 * @throws {AuthorityError} when it holds it for longer
 */
export async function locked<T>(file: string, run: () => Promise<T>, most = MOST_MS): Promise<T> {
  const own = `${process.pid} ${hostname()} ${++count}\n`
  const fresh = `${file}.${process.pid}-${count}`
  const giveUp = performance.now() + most
  // Made whole and then linked: nobody ever sees a lock that does not say whose it is.
  await writeFile(fresh, own, { flag: 'wx', mode: 0o600 })
  try {
    while (!(await linked(fresh, file))) {
      const held = await readLock(file)
      if (held !== undefined && isLeftBehind(held)) await takeAway(file, held, `${fresh}-old`)
      else if (performance.now() < giveUp) await sleep(EVERY_MS)
      else if (held === undefined) throw new AuthorityError(`${file} is no lock of this program, and stands in its place; remove it`)
      else throw new AuthorityError(`process ${held.trim().split(' ').slice(0, 2).join(' on ')} is at work on the certificates; when there is none such, remove ${file}`)
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

/** What stands in a lock; `undefined` where there is none, or what is there is none: a pipe would be waited for. */
async function readLock(file: string): Promise<string | undefined> {
  const found = await lstat(file).catch(() => undefined)
  return found?.isFile() === true ? readFile(file, 'utf8').catch(() => undefined) : undefined
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
