/** Numbers come and go as JSON values; without this line handlers get Erlang terms. */
export const options = { as: 'json' } as const

export const service = {
  call({ add }: { add: number[] }): number {
    return add.reduce((sum, number) => sum + number, 0)
  },
  cast(request: unknown): void {
    console.log('noted:', JSON.stringify(request))
  },
}
