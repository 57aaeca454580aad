// What every module here throws for input that is not what it should be: a finding
// about the input, never a fault of this program. Whatever else is thrown is a fault,
// and no verdict is made of it.

export class Malformed extends Error {
  // `field` is the dotted path of the member that is wrong, where one is known.
  constructor(message, field = null) {
    super(message);
    this.field = field;
  }
}
