// Package rulestore is where rules come from and how they change.
package rulestore
