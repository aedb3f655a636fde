/*
 * The thread that holds the database. Node 24 warns that `node:sqlite` is experimental when it is first loaded; that
 * warning would stand in the logs of every hub, so it alone is left out, which is why the rest is loaded from here.
 */
const warn = process.emitWarning
process.emitWarning = function quietly(...args: unknown[]): void {
  if (!/SQLite is an experimental feature/.test(String(args[0]))) Reflect.apply(warn, process, args)
}
await import('./database-thread.ts')
process.emitWarning = warn

export {}
