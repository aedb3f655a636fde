import { WaystationError } from '../core/errors.ts'

/** The error that tells these problems, a line each. */
export function invalid(problems: readonly string[]): WaystationError {
  return new WaystationError('config_invalid', '\n' + problems.map((line) => `  ${line}`).join('\n'))
}
