/** The status lines of what came, in order: `400`, or `200 400` for two answers. */
export function statuses(answer: string): string {
  return [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => match[1]).join(' ')
}
