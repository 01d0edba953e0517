
pm.test("The token was issued just now, for an hour", () => {
    pm.expect(body.iat).to.be.closeTo(Date.now() / 1000, 300);
    pm.expect(body.exp - body.iat).to.eql(3600);
});
